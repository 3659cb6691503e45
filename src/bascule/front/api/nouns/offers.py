"""What this server offers: its operations, guests of which systems, machines of which sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..answers import Answer, page
from ..asking import Ask
from ..naming import KIND
from ..table.operations import Operation, Standing, operations, standing
from ..words import sizes
from .machines.items import found

_PROVIDER = "Microsoft.RecoveryServices"
_DOES = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


def list_operations(ask: Ask, built: Mapping[str, object]) -> Answer:
    """Return the operations that work, as roles of Azure name them."""
    working = (one for one in operations() if not one.is_ours and standing(one, built) is Standing.WORKS)
    return page(ask, {str(one["name"]): one for one in map(_operation, working)}.values())


def systems(ask: Ask) -> Answer:
    """Return which guests may be protected: a host copies disks, whatever is on them."""
    ask.service.vaults.get(ask.caller, ask.vault)
    any_version = [{"version": "Any", "servicePack": None}]
    known = [{"osName": name, "osType": name, "osVersions": any_version} for name in ("Windows", "Linux")]
    kinds = [{"instanceType": KIND, "supportedOs": known}]
    name = "replicationSupportedOperatingSystems"
    return Answer(
        body={
            **{"id": f"{ask.home}/{name}", "name": name, "type": f"{_PROVIDER}/vaults/{name}"},
            "properties": {"supportedOsList": kinds},
        }
    )


def list_sizes(ask: Ask) -> Answer:
    """Return sizes that may be asked for; others may be too, and the host says what it cannot give."""
    found(ask)
    return page(ask, _sizes(ask))


def _sizes(ask: Ask) -> Iterator[Mapping[str, object]]:
    for cpus, memory_mib in sizes.LADDER:
        name = sizes.name_of(cpus, memory_mib)
        yield {
            **{"id": f"{ask.path}/{name}", "name": name},
            "type": f"{_PROVIDER}/vaults/targetComputeSizes",
            "properties": {
                **{"name": name, "friendlyName": name, "cpuCoresCount": cpus, "errors": []},
                **{"memoryInGB": memory_mib / 1024, "highIopsSupported": "Supported"},
            },
        }


def _operation(one: Operation) -> Mapping[str, object]:
    words = one.path.partition(f"{_PROVIDER}/")[2].split("/")
    action = words.pop() if one.method == "POST" else ""
    kind = "/".join(word for word in words if not word.startswith("{")) or "operations"
    what = f"{kind}/{action}" if action else kind
    return {
        "name": f"{_PROVIDER}/{what}/{_DOES[one.method]}",
        "display": {
            **{"provider": "Bascule", "resource": kind, "operation": one.verb},
            "description": f"{one.group}.{one.verb}",
        },
        **{"origin": "user", "properties": None},
    }


HANDLERS = {
    "supported_operating_systems.get": systems,
    "target_compute_sizes.list_by_replication_protected_items": list_sizes,
}
