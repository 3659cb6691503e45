"""Recovery plans by the official client: the body that is sent to Azure, and what comes back (R-PL-1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from bascule.model.vault.item import Command
from tests.control.service.desks import OWNER, ROUTE
from tests.front.api.serving import Client, Served

PLANS = "replication_recovery_plans"
_TYPES = ["PlannedFailover", "UnplannedFailover", "TestFailover"]


def action(name: str, **details: object) -> dict[str, Any]:
    return {
        "actionName": name,
        **{"failoverTypes": _TYPES, "failoverDirections": ["PrimaryToRecovery"]},
        "customDetails": details,
    }


MANUAL = action("check", instanceType="ManualActionDetails", description="check db")
SCRIPT = action(
    *("dns",),
    **{"instanceType": "ScriptActionDetails", "path": "\\\\lib\\dns.ps1"},
    **{"timeout": "PT10M", "fabricLocation": "Recovery"},
)


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    """The client of a vault with one protected machine, and afterwards neither plan nor machine."""
    client = server.recovery()
    job = server.service.items.enable(OWNER, "north", "shop", ROUTE)
    server.node.settled()
    yield client
    for one in list(client(f"{PLANS}.list")):
        client(f"{PLANS}.begin_delete", one.name).result()
    server.try_to(job.item, Command.DISABLE)


def asked(server: Served, *actions: dict[str, Any], item: str = "shop", **more: object) -> dict[str, Any]:
    fabric = f"{server.home()}/replicationFabrics/site-1"
    id = f"{fabric}/replicationProtectionContainers/site-1/replicationProtectedItems/{item}"
    group = {
        "groupType": "Boot",
        "replicationProtectedItems": [{"id": id, "virtualMachineId": "vm1"}],
        **{"startGroupActions": list(actions), "endGroupActions": [SCRIPT]},
    }
    properties = {"primaryFabricId": fabric, "recoveryFabricId": "Microsoft Azure", "groups": [group]}
    return {"properties": {**properties, "failoverDeploymentModel": "ResourceManager", **more}}


@pytest.mark.slow
def test_a_plan_is_made_comes_back_with_all_its_groups_is_changed_and_removed(
    server: Served, client: Client
) -> None:
    made: Any = client(f"{PLANS}.begin_create", "rplan", asked(server, MANUAL)).result()
    said = made.properties
    assert [group.group_type for group in said.groups] == ["Shutdown", "Failover", "Boot"]
    boot = said.groups[2]
    assert boot.replication_protected_items[0].id.endswith("/replicationProtectedItems/shop")
    assert boot.start_group_actions[0].custom_details.description == "check db"
    script = boot.end_group_actions[0].custom_details
    assert (script.path, script.timeout, script.fabric_location) == ("\\\\lib\\dns.ps1", "PT600S", "Recovery")
    assert set(boot.end_group_actions[0].failover_types) == set(_TYPES)
    assert (said.recovery_fabric_id, said.primary_fabric_friendly_name) == ("Microsoft Azure", "site-1")
    assert client(f"{PLANS}.get", "RPLAN").id == made.id

    fewer = {"properties": {"groups": [{"groupType": "Boot"}]}}
    changed: Any = client(f"{PLANS}.begin_update", "rplan", fewer).result()
    assert not changed.properties.groups[2].replication_protected_items
    client(f"{PLANS}.begin_delete", "rplan").result()
    with pytest.raises(ResourceNotFoundError):
        client(f"{PLANS}.get", "rplan")


@pytest.mark.slow
def test_a_machine_that_is_not_protected_any_more_is_in_no_plan(server: Served, client: Client) -> None:
    client(f"{PLANS}.begin_create", "rplan", asked(server)).result()
    server.try_to(server.service.items.named(OWNER, "north", "shop").id, Command.DISABLE)
    found: Any = client(f"{PLANS}.get", "rplan")
    assert found.properties.groups[2].replication_protected_items == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"recoveryFabricId": "somewhere"}, "BadRequest"),
        ({"failoverDeploymentModel": "Classic"}, "BadRequest"),
        ({"groups": []}, "BadPlan"),
        ({"groups": [{"groupType": "Nap"}]}, "BadRequest"),
        ({"groups": [{"groupType": "Boot", "startGroupActions": [MANUAL, MANUAL]}]}, "BadPlan"),
        ({"groups": [{"groupType": "Boot", "startGroupActions": [action("x")]}]}, "BadRequest"),
        ({"groups": "none"}, "InvalidRequestContent"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    server: Served, client: Client, more: dict[str, object], code: str
) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        client(f"{PLANS}.begin_create", "rplan", asked(server, **more))
    assert refusal.value.error.code == code
    assert list(client(f"{PLANS}.list")) == []


@pytest.mark.slow
def test_plans_are_made_by_who_may_change_the_vault_and_run_by_nobody_yet(
    server: Served, client: Client
) -> None:
    with pytest.raises(HttpResponseError, match="needs the right to change"):
        server.recovery("otto")(f"{PLANS}.begin_create", "rplan", asked(server))
    with pytest.raises(ResourceNotFoundError, match="no protected item till"):
        client(f"{PLANS}.begin_create", "rplan", asked(server, item="till"))
    client(f"{PLANS}.begin_create", "rplan", asked(server)).result()
    over = {"properties": {"failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "NotRequired"}}
    with pytest.raises(HttpResponseError) as refusal:
        client(f"{PLANS}.begin_unplanned_failover", "rplan", over)
    assert refusal.value.error.code == "OperationNotYetSupported"
