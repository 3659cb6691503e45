"""The table of operations: what is routed, what is answered *not yet*, and what docs/api.md says.

An operation works when a handler has its name; of the others, those of scenarios that will come answer that
they are not there yet, and the rest that they are out of scope. Names and paths are the SDK's, and a test
holds them against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from . import elsewhere, items, ours, sides, vaults

_G = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.RecoveryServices"
_V = _G + "/vaults/{vault}"
_F = _V + "/replicationFabrics/{fabric}"
_C = _F + "/replicationProtectionContainers/{container}"
_COMPUTE = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
SHORT: Mapping[str, str] = {
    "{B}": "/subscriptions/{subscription}/providers/Bascule",
    "{S}": "/subscriptions/{subscription}/providers/Microsoft.RecoveryServices",
    "{G}": _G,
    "{V}": _V,
    "{F}": _F,
    "{C}": _C,
    "{I}": _C + "/replicationProtectedItems/{item}",
    "{P}": _V + "/replicationRecoveryPlans/{plan}",
    "{H}": _F + "/replicationRecoveryServicesProviders",
    "{M}": _C + "/replicationProtectionContainerMappings",
    "{K}": _C + "/replicationProtectionClusters/{cluster}",
    "{X}": _C + "/replicationMigrationItems/{migration}",
    "{NM}": _F + "/replicationNetworks/{network}/replicationNetworkMappings",
    "{TM}": (
        _F + "/replicationStorageClassifications/{classification}/replicationStorageClassificationMappings"
    ),
    "{E}": (
        _COMPUTE + "/virtualMachines/{machine}/providers/Microsoft.RecoveryServices"
        "/replicationEligibilityResults"
    ),
}

_SDK = (vaults.ROWS, sides.ROWS, items.ROWS)
OUT_OF_SCOPE = frozenset(
    {
        *("deleted_vaults", "private_link_resources", "recovery_services.capabilities"),
        *("replication_protected_items.add_disks", "replication_protected_items.remove_disks"),
        "replication_protected_items.reinstall_mobility_service",
        *("replication_protected_items.switch_provider", "replication_protected_items.update_appliance"),
        "replication_protection_containers.switch_protection",
        "replication_protection_containers.switch_cluster_protection",
    }
)
"""Of the groups that are ours in general: for other providers, or for what only a public cloud has."""


NONE_HERE = frozenset(
    {
        *("replication_v_centers", "replication_logical_networks", "replication_storage_classifications"),
        *("replication_storage_classification_mappings", "replication_fabrics.reassociate_gateway"),
        *("replication_networks", "replication_network_mappings"),
        *("replication_fabrics.remove_infra", "replication_fabrics.renew_certificate"),
        "replication_recovery_services_providers.create",
        "replication_protected_items.update_mobility_service",
    }
)
"""What a site of hosts has none of, or does by itself."""


class Standing(StrEnum):
    """How the server stands to an operation."""

    WORKS = "works"
    NONE_HERE = "none here"
    NOT_YET = "not yet"
    OUT_OF_SCOPE = "out of scope"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name in the SDK, and where it is asked for."""

    group: str
    verb: str
    method: str
    path: str
    is_ours: bool = False
    is_out_of_scope: bool = False

    @property
    def name(self) -> str:
        """Return what handlers are named by."""
        return f"{self.group}.{self.verb}"


@cache
def operations() -> tuple[Operation, ...]:
    """Return all operations, each once."""
    return (
        *(one for rows in _SDK for one in _read(rows)),
        *_read(elsewhere.ROWS, is_out_of_scope=True),
        *_read(ours.ROWS, is_ours=True),
    )


def standing(operation: Operation, built: Mapping[str, object]) -> Standing:
    """Return how the server stands to an operation, given what is built."""
    if operation.name in built:
        is_none = operation.group in NONE_HERE or operation.name in NONE_HERE
        return Standing.NONE_HERE if is_none else Standing.WORKS
    return Standing.OUT_OF_SCOPE if operation.is_out_of_scope else Standing.NOT_YET


def _read(rows: str, *, is_ours: bool = False, is_out_of_scope: bool = False) -> Iterator[Operation]:
    group = ""
    for line in rows.strip().splitlines():
        if not line.startswith(" "):
            group = line
            continue
        verb, method, path = line.split()
        for short, long in SHORT.items():
            if path.startswith(short):
                path = long + path[len(short) :]
                break
        is_out = is_out_of_scope or group in OUT_OF_SCOPE or f"{group}.{verb}" in OUT_OF_SCOPE
        yield Operation(group, verb, method, path, is_ours, is_out)
