"""Failovers as they are asked for: with the source shut down, in which network, planned and straight home."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.front.api.nouns.test_commands import AT, ITEMS, client, enabled, over, plain, stands
from tests.front.api.serving import Client, Served

__all__ = ["client"]  # a fixture
HOME = {"failoverDirection": "RecoveryToPrimary"}
BACK = {"instanceType": "HyperVReplicaAzureFailback", "dataSyncOption": "ForDownTime"}


def effects(server: Served, client: Client) -> list[str]:
    found: Any = client(f"{ITEMS}.get", *AT)
    return server.node.sites.effects(found.properties.provider_specific_details.vm_id)


def last(client: Client, scenario: str) -> Any:
    return next(iter(client("replication_jobs.list", filter=f"JobName eq '{scenario}'"))).properties


@pytest.mark.slow
def test_a_source_that_is_to_be_shut_down_is_before_it_is_fenced(server: Served, client: Client) -> None:
    enabled(server, client)
    over(client, "unplanned_failover", sourceSiteOperations="Required")
    assert effects(server, client)[-3:] == ["shut down", "fence", "start failover"]
    job = last(client, "UnplannedFailover")
    assert job.state_description == "Completed"
    assert [task.name for task in job.tasks] == [
        *("VmUfoPrerequisitesCheck", "VmShutdownVmOnPrimary", "VmPrepareForUnPlannedFailover"),
        *("VmFailover", "VmFoStartVmOnSecondary"),
    ]
    plain(client, "failover_cancel")
    over(client, "unplanned_failover", sourceSiteOperations="NotRequired")
    assert effects(server, client)[-2:] == ["fence", "start failover"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["look", "shut down"])
def test_a_source_that_cannot_be_shut_down_keeps_nobody_waiting(
    server: Served, client: Client, verb: str
) -> None:
    enabled(server, client)
    server.node.sites.fail(verb, "unavailable", "nobody answers there")
    try:
        over(client, "unplanned_failover", sourceSiteOperations="Required")
    finally:
        server.node.sites.fail(verb)
    assert stands(client)[1] == "Recovery"
    job = last(client, "UnplannedFailover")
    assert (job.state, job.state_description) == ("Succeeded", "CompletedWithInformation")
    task = job.tasks[1]
    assert (task.name, task.state, task.state_description) == ("VmShutdownVmOnPrimary", "Other", "Skipped")
    assert "nobody answers there" in task.errors[0].service_error_details.message
    assert (job.errors[0].error_level, job.errors[0].task_id) == ("Warning", task.task_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "effect"),
    [
        ({}, "start test"),
        ({"networkType": "NoNetworkAttachAsInput"}, "start test in no network"),
        ({"networkType": "VmNetworkAsInput", "networkId": "/x/lab"}, "start test in lab"),
        ({"networkId": "lab"}, "start test in lab"),
    ],
)
def test_a_test_is_plugged_in_where_it_is_asked(
    server: Served, client: Client, asked: dict[str, str], effect: str
) -> None:
    enabled(server, client)
    over(client, "test_failover", **asked)
    assert effects(server, client)[-1] == effect


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "asked", "why"),
    [
        ("test_failover", {"networkType": "VmNetworkAsInput"}, "no networkId is named"),
        ("test_failover", {"networkType": "LogicalNetworkAsInput", "networkId": "x"}, "does not know"),
        ("unplanned_failover", {"sourceSiteOperations": "Perhaps"}, "none of sourceSiteOperations"),
        (
            "unplanned_failover",
            {"providerSpecificDetails": {"primaryKekCertificatePfx": "x"}},
            "of a public cloud",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is(
    server: Served, client: Client, verb: str, asked: dict[str, object], why: str
) -> None:
    enabled(server, client)
    before = effects(server, client)
    with pytest.raises(HttpResponseError, match=why):
        over(client, verb, **asked)
    assert effects(server, client) == before


@pytest.mark.lab
def test_a_planned_failover_goes_straight_home_by_the_recorded_words(server: Served, client: Client) -> None:
    enabled(server, client)
    over(client, "planned_failover")
    assert stands(client)[:2] == ("PlannedFailoverCommitRequired", "Recovery")
    assert {"Commit", "ChangePit"} <= stands(client)[3]
    assert [task.name for task in last(client, "PlannedFailover").tasks] == [
        *("VmPfoPrerequisitesCheck", "VmShutdownVmOnPrimary", "VmFailover", "VmFoStartVmOnSecondary")
    ]
    plain(client, "failover_commit")
    assert stands(client)[:2] == ("PlannedFailoverStatesBegin", "Recovery")
    assert {"DisableProtection", "Failback"} <= stands(client)[3]
    poller: Any = client(
        f"{ITEMS}.begin_planned_failover", *AT, {"properties": {**HOME, "providerSpecificDetails": BACK}}
    )
    assert poller.result().properties.protection_state == "PlannedFailoverCommitRequired"
    assert "relate back" in effects(server, client)
    plain(client, "failover_commit")
    assert stands(client) == (
        "RestoreFinalized",
        "Primary",
        "None",
        {"ReverseReplicate", "DisableProtection"},
    )
    over(client, "reprotect")
    server.node.settled()
    assert stands(client)[:2] == ("Protected", "Primary")
