"""Sites, hosts, machines, policies, events and health, as the official client reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Job, JobId, JobState
from bascule.model.vault.signs.event import Condition, Event, Health
from tests.control.service.desks import ROUTE
from tests.front.api.serving import VERSION, Served

pytestmark = pytest.mark.lab

SITE = {"properties": {"customDetails": {"instanceType": "HyperVSite"}}}


def policy(**more: object) -> dict[str, object]:
    return {"properties": {"providerSpecificInput": {"instanceType": "HyperVReplicaAzure", **more}}}


def test_a_site_is_made_found_in_whatever_case_and_removed(server: Served) -> None:
    client = server.recovery("anna")
    made: Any = client("replication_fabrics.begin_create", "site-9", SITE)
    assert made.result().properties.custom_details.instance_type == "HyperVSite"
    again: Any = client("replication_fabrics.begin_create", "SITE-9", {"properties": {}})
    assert again.result().name == "site-9"
    assert client("replication_fabrics.get", "Site-9").properties.health == "Normal"
    client("replication_fabrics.begin_delete", "site-9").result()
    with pytest.raises(ResourceNotFoundError, match="site-9"):
        client("replication_fabrics.get", "site-9")


def test_a_site_with_hosts_stays_and_shows_them(server: Served) -> None:
    client = server.recovery("anna")
    with pytest.raises(HttpResponseError, match="has hosts: h1, h2") as refusal:
        client("replication_fabrics.begin_purge", "site-1").result()
    assert refusal.value.status_code == 409
    hosts = client("replication_fabrics.get", "site-1").properties.custom_details.hyper_v_hosts
    assert [host.name for host in hosts] == ["h1", "h2"]
    assert [one.name for one in client("replication_recovery_services_providers.list")] == ["h1", "h2"]
    assert (
        client("replication_recovery_services_providers.get", "site-1", "h1").properties.friendly_name == "h1"
    )


def test_a_kind_of_site_that_is_not_built_says_so(server: Served) -> None:
    with pytest.raises(HttpResponseError, match="VMwareV2 are not built yet"):
        server.recovery("anna")(
            "replication_fabrics.begin_create",
            "site-8",
            {"properties": {"customDetails": {"instanceType": "VMwareV2"}}},
        )


def test_a_container_is_its_sites_and_holds_the_machines(server: Served) -> None:
    client = server.recovery("rita")
    (container,) = client("replication_protection_containers.list")
    assert container.properties.fabric_friendly_name == "site-1"
    group = "replication_protectable_items"
    machines = list(client(f"{group}.list_by_replication_protection_containers", "site-1", container.name))
    assert sorted(one.properties.friendly_name for one in machines) == ["one#shop", "one#till"]
    found = client(f"{group}.get", "site-1", "site-1", machines[0].name.upper())
    assert found.id == machines[0].id
    wanted = "FriendlyName eq 'one#till'"
    only = client(f"{group}.list_by_replication_protection_containers", "site-1", "site-1", filter=wanted)
    assert [one.properties.friendly_name for one in only] == ["one#till"]


def test_a_policy_is_what_was_asked_for_and_goes(server: Served) -> None:
    client = server.recovery("anna")
    asked = policy(
        recoveryPointHistoryDuration=24,
        replicationInterval=300,
        applicationConsistentSnapshotFrequencyInHours=4,
    )
    made = (
        client("replication_policies.begin_create", "hva", asked)
        .result()
        .properties.provider_specific_details
    )
    assert made.recovery_point_history_duration_in_hours == 24
    assert (made.replication_interval, made.application_consistent_snapshot_frequency_in_hours) == (300, 4)
    change = {"properties": {"replicationProviderSettings": {"replicationInterval": "900"}}}
    after: Any = client("replication_policies.begin_update", "HVA", change)
    details = after.result().properties.provider_specific_details
    assert (details.replication_interval, details.recovery_point_history_duration_in_hours) == (900, 24)
    ours = {"recoveryPointThresholdInMinutes": 30, "retention": "4h:all,7d:1d", "resyncHours": "any"}
    change["properties"]["replicationProviderSettings"] = {
        **{"bascule": {**ours, "agent": "off"}, "onlineReplicationStartTime": "23:30"}
    }
    after = client("replication_policies.begin_update", "hva", change)
    details = after.result().properties.provider_specific_details
    assert details["bascule"] == {**ours, "agent": "off"}
    assert details.online_replication_start_time == "23:30"
    assert details.recovery_point_history_duration_in_hours == 7 * 24
    client("replication_policies.begin_delete", "hva").result()
    assert [one.name for one in client("replication_policies.list")] == ["daily"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"replicationInterval": 7}, "no policy makes points every 7 seconds"),
        ({"replicationInterval": "soon"}, "no whole number"),
        ({"replicationInterval": True}, "no whole number"),
        ({"replicationInterval": -1}, "no whole number"),
        ({"instanceType": "InMageAzureV2"}, "not built yet"),
        ({"onlineReplicationStartTime": "tonight"}, "'tonight' is no time of the day"),
        ({"bascule": {"retention": "for ever"}}, "for ever"),
        ({"bascule": {"agent": "/run/agent"}}, "no sockets of a host"),
        ({"bascule": {"resyncHours": "tea time"}}, "tea time"),
        ({"bascule": {"recoveryPointThresholdInMinutes": 0}}, "an RPO of 0 s cannot be kept"),
        ({"recoveryPointHistoryDuration": 2, "bascule": {"retention": "4h:all"}}, "both say what is kept"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(server: Served, more: dict[str, object], why: str) -> None:
    with pytest.raises(HttpResponseError, match=why) as refusal:
        server.recovery("anna")("replication_policies.begin_create", "hvb", policy(**more)).result()
    assert refusal.value.status_code == 400


def test_events_come_in_pages_and_health_says_what_is_wrong(server: Served) -> None:
    with server.node.catalog.writing() as books:
        for number in range(450):
            level = Health.CRITICAL if number % 2 else Health.HEALTHY
            books.events.add(Event("north", 1e9 + number, "h1", "rpo", level, f"event {number}", "wait"))
        books.conditions.add(Condition("north", "h1", "silent", Health.CRITICAL, 1e9, "h1 is silent", "look"))
    client = server.recovery("rita")
    found = list(client("replication_events.list"))
    assert [one.properties.description for one in found] == [
        f"event {number}" for number in range(449, -1, -1)
    ]
    assert client("replication_events.get", found[3].name).properties.description == "event 446"
    bad = list(client("replication_events.list", filter="Severity eq 'Critical'"))
    assert len(bad) == 225
    health = client("replication_vault_health.get").properties
    assert health.fabrics_health.issues[0].summary_message == "h1 is silent"
    with server.node.catalog.writing() as books:
        books.conditions.remove("north", "h1/silent")


def test_items_and_jobs_come_in_pages(server: Served) -> None:
    with server.node.catalog.writing() as books:
        for number in range(620):
            name = f"vm-{number:03}"
            state = Protection.PROTECTED if number % 100 else Protection.UNPROTECTED
            books.items.add(ProtectedItem(name, "north", name, state, route=ROUTE))
        for number in range(450):
            ended = Job(JobId(f"{number:032x}"), "north", "vm-001", Command.RESYNC, 1, 1e9 + number)
            books.jobs.add(replace(ended, state=JobState.SUCCEEDED, ended=2e9))
    client = server.recovery("rita")
    items = [one.name for one in client("replication_protected_items.list")]
    assert items == [f"vm-{number:03}" for number in range(620) if number % 100]
    jobs = [one.name for one in client("replication_jobs.list")]
    assert jobs == [f"{number:032x}" for number in range(449, -1, -1)]
    assert list(client("replication_jobs.list", filter="JobStatus eq 'Failed'")) == []


def test_a_link_to_the_next_page_keeps_what_was_asked(server: Served) -> None:
    with server.node.catalog.writing() as books:
        for number in range(450):
            books.events.add(Event("south", 1e9 + number, "h3", "rpo", Health.HEALTHY, "well", ""))
    asked = {"api-version": VERSION, "$filter": "Severity eq 'OK'"}
    first = server.ask(f"{server.home('south')}/replicationEvents", params=asked).json()
    link = first["nextLink"]
    assert link.startswith(server.base)
    second = server.ask(link.removeprefix(server.base), params=None).json()
    assert {one["properties"]["severity"] for one in first["value"] + second["value"]} == {"OK"}
    numbers = [int(one["name"]) for one in first["value"] + second["value"]]
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize("words", ["Severity", "Severity like 'OK'", "Colour eq 'red'", "1 eq 1", "x" * 5000])
def test_a_filter_that_nobody_knows_is_refused(server: Served, words: str) -> None:
    asked = {"api-version": VERSION, "$filter": words}
    answer = server.ask(f"{server.home()}/replicationEvents", params=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadFilter")


def test_jobs_are_exported_for_other_programs(server: Served) -> None:
    job: Any = server.recovery("rita")("replication_jobs.begin_export", {"startTime": None}).result()
    text = server.ask(
        job.properties.custom_details.blob_uri.removeprefix(server.base), name="rita", params=None
    )
    assert text.headers["Content-Type"].startswith("text/csv")
    assert text.text.startswith("job,vault,item")
