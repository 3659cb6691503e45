"""Protected items, as those look that ask: found by name in the container of the host that they are on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bascule.model.errors import Missing
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.job import Job
from bascule.model.vault.sides.pairing import Container
from bascule.model.vault.signs.event import Condition

from ...answers import Answer, moment, page
from ...asking import Ask
from ...naming import KIND, resource
from ...words import health, scenarios, sizes, states
from ..sides.containers import container_of, container_words, held_by
from ..sides.fabrics import guid, server_words

PAGE = 500
_TYPE = "replicationFabrics/replicationProtectionContainers/replicationProtectedItems"
_NOWHERE = "unknown"
"""The site of an item whose host was taken out of the catalog."""
IDLE = {"scenarioName": "None", "startTime": "1753-01-01T01:01:01Z"}


@dataclass(frozen=True, slots=True)
class Around:
    """What is around items of a vault, looked up once for all that are shown."""

    servers: Mapping[str, Server]
    jobs: Mapping[str, Job]
    conditions: Mapping[str, list[Condition]]
    """What is wrong, by what it is wrong with."""

    @classmethod
    def of(cls, ask: Ask) -> Around:
        """Look it up."""
        service, caller, vault = ask.service, ask.caller, ask.vault
        conditions: dict[str, list[Condition]] = {}
        for one in service.signs.conditions(caller, vault):
            conditions.setdefault(one.subject, []).append(one)
        return cls(
            {one.id: one for one in service.fabrics.servers(caller, vault)},
            {job.item: job for job in service.jobs.open(caller, vault)},
            conditions,
        )

    def fabric(self, host: str) -> str:
        """Return the fabric of a host."""
        return self.servers[host].fabric if host in self.servers else ""

    def container(self, item: ProtectedItem) -> Container | None:
        """Return the container that an item is in, None if its host is not known any more."""
        fabric = self.fabric(item.route.source)
        return held_by(item, fabric) if fabric or item.mapping else None


def list_all(ask: Ask) -> Answer:
    """Return the items of a vault or of a container, a page at a time."""
    container = container_of(ask) if "container" in ask.names else None
    around = Around.of(ask)
    after = ask.query.get("$skiptoken", ask.query.get("skiptoken", ""))
    found = ask.service.items.list(ask.caller, ask.vault, PAGE, after)
    shown = (
        shape(ask, one, around)
        for one in found
        if is_there(one) and container in (None, around.container(one))
    )
    return page(ask, shown, found[-1].name if len(found) == PAGE else "")


def get(ask: Ask) -> Answer:
    """Return an item."""
    return Answer(body=shape(ask, found(ask), Around.of(ask)))


def is_there(item: ProtectedItem) -> bool:
    """Is an item there to those who ask? What is not protected any more is not."""
    return item.protection is not Protection.UNPROTECTED


def found(ask: Ask) -> ProtectedItem:
    """Return the item that a path names, or raise Missing."""
    container = container_of(ask)
    item = ask.service.items.named(ask.caller, ask.vault, ask.names["item"])
    servers = {one.id: one.fabric for one in ask.service.fabrics.servers(ask.caller, ask.vault)}
    fabric = servers.get(item.route.source, "")
    held = held_by(item, fabric) if fabric or item.mapping else None
    if not is_there(item) or held != container:
        name = ask.names["item"]
        raise Missing(f"{container.name} has no protected item {name}", cure="list what there is")
    return item


def item_id(ask: Ask, container: Container, name: str) -> str:
    """Return the id of an item."""
    return f"{ask.home}/{container_words(container)}/replicationProtectedItems/{name}"


def shape(ask: Ask, item: ProtectedItem, around: Around) -> Mapping[str, object]:
    """Return an item as the interface shows it."""
    container = around.container(item) or Container.own(item.vault, _NOWHERE)
    wrong = around.conditions.get(item.id, [])
    words = f"{container_words(container)}/replicationProtectedItems/{item.name}"
    return resource(
        ask,
        words,
        _TYPE,
        {
            **{"friendlyName": item.name, "protectedItemType": "HyperVVirtualMachine"},
            **_sides(ask, item, container, around),
            **_standing(ask, item, around),
            **{"replicationHealth": health.level(wrong), "failoverHealth": health.level(wrong)},
            "healthErrors": [health.error(one) for one in wrong],
            "policyId": f"{ask.home}/replicationPolicies/{item.route.policy}",
            "policyFriendlyName": item.route.policy,
            "providerSpecificDetails": _details(item),
        },
    )


def _sides(ask: Ask, item: ProtectedItem, container: Container, around: Around) -> Mapping[str, object]:
    other = around.fabric(item.route.recovery)
    source = around.servers.get(item.route.source)
    machine = guid(item.route.source, item.route.machine)
    there = f"{ask.home}/{container_words(Container.own(item.vault, other))}" if other else None
    return {
        "protectableItemId": f"{ask.home}/{container_words(container)}/replicationProtectableItems/{machine}",
        "recoveryServicesProviderId": f"{ask.home}/{server_words(source)}" if source else None,
        **{"primaryFabricFriendlyName": container.fabric, "primaryFabricProvider": "HyperVSite"},
        **{"recoveryFabricFriendlyName": other, "recoveryContainerId": there},
        "recoveryFabricId": f"{ask.home}/replicationFabrics/{other}" if other else None,
        **{"primaryProtectionContainerFriendlyName": container.name},
        **{"recoveryProtectionContainerFriendlyName": other},
    }


def _standing(ask: Ask, item: ProtectedItem, around: Around) -> Mapping[str, object]:
    state, description = states.protection(item)
    test, test_description = states.TEST[item.test]
    job = around.jobs.get(item.id)
    scenario: Mapping[str, object] = {**IDLE, "jobId": f"{ask.home}/replicationJobs/None"}
    if job is not None:
        scenario = {
            "scenarioName": scenarios.SCENARIOS[job.command][0],
            "jobId": f"{ask.home}/replicationJobs/{job.id}",
            "startTime": moment(job.started or job.created),
        }
    return {
        **{"protectionState": state, "protectionStateDescription": description},
        **{"activeLocation": states.location(item), "allowedOperations": states.allowed(item)},
        **{"testFailoverState": test, "testFailoverStateDescription": test_description},
        **{"currentScenario": scenario, "failoverRecoveryPointId": item.point or None},
    }


def _shaped(item: ProtectedItem) -> Mapping[str, object]:
    """Return what the machine is to be on the recovery side."""
    kept: Mapping[str, Any] = json.loads(item.settings) if item.settings else {}
    over, test = kept.get("failover") or {}, kept.get("test") or {}
    machine = over.get("machines", {}).get(item.id, {})
    tested = test.get("machines", {}).get(item.id, {}).get("cards", {})
    cards = machine.get("cards", {})
    return {
        "recoveryAzureVmName": machine.get("name") or item.name,
        "recoveryAzureVMSize": sizes.name_of(machine.get("cpus", 0), machine.get("memory_mib", 0)) or None,
        "selectedRecoveryAzureNetworkId": over.get("network"),
        "vmNics": [_card(name, card, tested.get(name, {}), test) for name, card in cards.items()],
    }


def _card(
    name: str, card: Mapping[str, Any], tested: Mapping[str, Any], test: Mapping[str, Any]
) -> Mapping[str, object]:
    addresses = {
        **{"name": name, "isPrimary": True, "recoverySubnetName": card.get("network")},
        **{"recoveryStaticIPAddress": card.get("address"), "tfoSubnetName": tested.get("network")},
        "tfoStaticIPAddress": tested.get("address"),
    }
    return {
        **{"nicId": name, "ipConfigs": [addresses], "tfoVMNetworkId": test.get("network")},
        "selectionType": "NotSelected" if card.get("network") == "" else "SelectedByUser",
    }


def _details(item: ProtectedItem) -> Mapping[str, object]:
    state, description = states.protection(item)
    return {
        **{"instanceType": KIND, "vmId": item.id, **_shaped(item)},
        **{"vmProtectionState": state, "vmProtectionStateDescription": description},
        **{"recoveryAzureStorageAccount": item.route.store, "azureVmDiskDetails": []},
        **{"encryption": "Enabled", "useManagedDisks": "false"},
    }


HANDLERS = {
    "replication_protected_items.list": list_all,
    "replication_protected_items.list_by_replication_protection_containers": list_all,
    "replication_protected_items.get": get,
}
