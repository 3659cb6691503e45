"""Containers, groups and settings of the recovery side, by the official client and operations of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from tests.front.api.serving import Client, Served

pytestmark = pytest.mark.lab

CONTAINERS, MAPPINGS = "replication_protection_containers", "replication_protection_container_mappings"
SITE = ("site-1", "site-1")


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    """The client, and afterwards no groups."""
    client = server.recovery()
    yield client
    for one in list(client(f"{MAPPINGS}.list")):
        names = one.id.split("/")
        client(f"{MAPPINGS}.begin_purge", names[-5], names[-3], names[-1]).result()


def asked(server: Served, **more: object) -> dict[str, Any]:
    details = {"instanceType": "HyperVReplicaAzure", **more}
    policy = f"{server.home()}/replicationPolicies/DAILY"
    return {
        "properties": {
            **{"targetProtectionContainerId": "Microsoft Azure", "policyId": policy},
            "providerSpecificInput": details,
        }
    }


def test_a_group_is_made_found_changed_and_removed(server: Served, client: Client) -> None:
    made: Any = client(f"{MAPPINGS}.begin_create", *SITE, "map1", asked(server)).result()
    said = made.properties
    assert (said.state, said.health, said.policy_friendly_name) == ("Paired", "Normal", "daily")
    assert said.target_protection_container_friendly_name == said.target_fabric_friendly_name
    assert said.target_protection_container_id == "Microsoft Azure"
    for found in (
        client(f"{MAPPINGS}.list"),
        client(f"{MAPPINGS}.list_by_replication_protection_containers", *SITE),
    ):
        assert [one.id for one in found] == [made.id]
    assert client(f"{MAPPINGS}.get", "SITE-1", "SITE-1", "MAP1").id == made.id
    host = f"{server.home()}/replicationFabrics/site-1/replicationRecoveryServicesProviders/h2"
    ours = {"recoveryServicesProviderId": host, "store": "/points", "keyFile": "/key"}
    more = {"instanceType": "HyperVReplicaAzure", "bascule": ours}
    changed: Any = client(
        f"{MAPPINGS}.begin_update", *SITE, "map1", {"properties": {"providerSpecificInput": more}}
    ).result()
    assert changed.properties.provider_specific_details["bascule"] == ours
    gone = {"properties": {"providerSpecificInput": {"instanceType": "HyperVReplicaAzure"}}}
    client(f"{MAPPINGS}.begin_delete", *SITE, "map1", gone).result()
    with pytest.raises(ResourceNotFoundError):
        client(f"{MAPPINGS}.get", *SITE, "map1")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"instanceType": "A2A"}, "OperationNotYetSupported"),
        ({"bascule": {"store": "/points"}}, "Incomplete"),
        ({"bascule": {"recoveryServicesProviderId": "h2"}}, "BadRequest"),
    ],
)
def test_a_group_that_cannot_be_is_refused(
    server: Served, client: Client, more: dict[str, object], code: str
) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        client(f"{MAPPINGS}.begin_create", *SITE, "map1", asked(server, **more))
    assert refusal.value.error.code == code
    assert list(client(f"{MAPPINGS}.list")) == []


def test_containers_are_made_and_removed_but_for_that_of_the_site(server: Served, client: Client) -> None:
    made: Any = client(f"{CONTAINERS}.begin_create", "site-1", "cloud_S", {"properties": {}}).result()
    assert (made.name, made.properties.pairing_status) == ("cloud_S", "NotPaired")
    client(f"{MAPPINGS}.begin_create", "site-1", "cloud_S", "map1", asked(server)).result()
    assert client(f"{CONTAINERS}.get", "site-1", "CLOUD_s").properties.pairing_status == "Paired"
    names = [one.name for one in client(f"{CONTAINERS}.list_by_replication_fabrics", "site-1")]
    assert names == ["cloud_S", "site-1"]
    with pytest.raises(ResourceExistsError, match="has protection groups: map1"):
        client(f"{CONTAINERS}.begin_delete", "site-1", "cloud_S")
    client(f"{MAPPINGS}.begin_purge", "site-1", "cloud_S", "map1").result()
    client(f"{CONTAINERS}.begin_delete", "site-1", "cloud_S").result()
    with pytest.raises(ResourceExistsError, match="the container of its site"):
        client(f"{CONTAINERS}.begin_delete", "site-1", "site-1")


def test_a_group_of_two_sites_names_the_container_that_it_leads_to(server: Served, client: Client) -> None:
    body = asked(server)
    there = f"{server.home()}/replicationFabrics/SITE-1/replicationProtectionContainers/site-1"
    body["properties"]["targetProtectionContainerId"] = there
    made: Any = client(f"{MAPPINGS}.begin_create", *SITE, "map2", body).result()
    assert made.properties.target_protection_container_id == there.replace("SITE-1", "site-1")
    assert made.properties.target_fabric_friendly_name == "site-1"


def test_recovery_settings_are_said_once_for_a_vault_or_a_site(server: Served) -> None:
    host = f"{server.home()}/replicationFabrics/site-1/replicationRecoveryServicesProviders/h2"
    ours = {"recoveryServicesProviderId": host, "store": "/points", "keyFile": "/key"}
    for place in (server.home(), f"{server.home()}/replicationFabrics/site-1"):
        path = f"{place}/basculeRecoverySettings"
        assert server.ask(path, "PUT", json={"properties": ours}).json()["properties"] == ours
        assert server.ask(path).json()["properties"] == ours
        assert server.ask(path, "PUT", name="rita", json={"properties": ours}).status_code == 403
        assert server.ask(path, "DELETE").status_code == 204
        assert server.ask(path, "DELETE").status_code == 404
        assert set(server.ask(path).json()["properties"].values()) == {None}
