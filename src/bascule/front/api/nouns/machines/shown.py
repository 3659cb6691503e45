"""A protected item as the interface shows it, which follows from the arguments here and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bascule.model.vault.fabric import Server
from bascule.model.vault.item import Command, ProtectedItem
from bascule.model.vault.sides.pairing import Container
from bascule.model.vault.signs.event import Condition

from ...answers import moment
from ...naming import KIND, resource
from ...words import health, scenarios, sizes, states
from ..sides.containers import container_words
from ..sides.fabrics import guid, server_words
from ..sides.protectable import kind_of

_TYPE = "replicationFabrics/replicationProtectionContainers/replicationProtectedItems"
IDLE = {"scenarioName": "None", "startTime": "1753-01-01T01:01:01Z"}


@dataclass(frozen=True, slots=True)
class Doing:
    """What is shown of the job that goes on."""

    command: Command
    id: str
    since: float


@dataclass(frozen=True, slots=True)
class Near:
    """What is around one item, as far as it is shown. ``other`` is the site of the host that takes over."""

    container: Container
    source: Server | None
    other: str
    job: Doing | None
    wrong: tuple[Condition, ...]


def shape(home: str, item: ProtectedItem, near: Near) -> Mapping[str, object]:
    """Return an item as the interface shows it in the vault of an id."""
    words = f"{container_words(near.container)}/replicationProtectedItems/{item.name}"
    level = health.level(near.wrong)
    return resource(
        home,
        words,
        _TYPE,
        {
            **{"friendlyName": item.name, "protectedItemType": "HyperVVirtualMachine"},
            **_sides(home, item, near),
            **_standing(home, item, near),
            **{"replicationHealth": level, "failoverHealth": level},
            "healthErrors": [health.error(one) for one in near.wrong],
            "policyId": f"{home}/replicationPolicies/{item.route.policy}",
            "policyFriendlyName": item.route.policy,
            "providerSpecificDetails": _details(item),
        },
    )


def _sides(home: str, item: ProtectedItem, near: Near) -> Mapping[str, object]:
    container, source, other = near.container, near.source, near.other
    machine = guid(item.route.source, item.route.machine)
    there = f"{home}/{container_words(Container.own(item.vault, other))}" if other else None
    return {
        "protectableItemId": f"{home}/{container_words(container)}/replicationProtectableItems/{machine}",
        "recoveryServicesProviderId": f"{home}/{server_words(source)}" if source else None,
        **{"primaryFabricFriendlyName": container.fabric, "primaryFabricProvider": "HyperVSite"},
        **{"recoveryFabricFriendlyName": other, "recoveryContainerId": there},
        "recoveryFabricId": f"{home}/replicationFabrics/{other}" if other else None,
        **{"primaryProtectionContainerFriendlyName": container.name},
        **{"recoveryProtectionContainerFriendlyName": other},
    }


def _standing(home: str, item: ProtectedItem, near: Near) -> Mapping[str, object]:
    state, description = states.protection(item)
    test, test_description = states.TEST[item.test]
    scenario: Mapping[str, object] = {**IDLE, "jobId": f"{home}/replicationJobs/None"}
    if near.job is not None:
        scenario = {
            "scenarioName": scenarios.SCENARIOS[near.job.command][0],
            "jobId": f"{home}/replicationJobs/{near.job.id}",
            "startTime": moment(near.job.since),
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
        **{"recoveryAzureStorageAccount": item.route.store, "azureVmDiskDetails": _disks(item)},
        **{"encryption": "Enabled", "useManagedDisks": "false"},
        "bascule": {
            "disks": [
                {"id": disk.id, "sizeBytes": disk.size_bytes, "isReplicated": disk.is_replicated}
                for disk in item.disks
            ]
        },
    }


def _disks(item: ProtectedItem) -> list[Mapping[str, object]]:
    """Return the disks that are replicated."""
    kind = kind_of(item.disks)
    return [
        {
            **{"vhdId": disk.id, "diskId": disk.id, "vhdName": disk.id, "vhdType": kind},
            **{"maxSizeMB": str(disk.size_mib), "lunId": str(number)},
            "targetDiskName": disk.id,
        }
        for number, disk in enumerate(item.disks)
        if disk.is_replicated
    ]
