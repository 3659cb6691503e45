"""Machines that could be protected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bascule.model.vault.fabric import ProtectableItem
from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.sides.pairing import Container
from bascule.model.vault.signs.disk import Disk

from ...answers import Answer, page
from ...asking import Ask
from ...filters import Filter
from ...naming import KIND, named, resource
from .containers import container_of, container_words, held_by
from .fabrics import guid

PAGE = 500


def list_all(ask: Ask) -> Answer:
    """Return the machines of a container, a page at a time."""
    wanted = Filter.of(ask, ("FriendlyName", "ProtectionStatus"))
    container = container_of(ask)
    protected = _protected(ask)
    after = ask.query.get("$skiptoken", "")
    found = sorted((_name(one), one) for one in machines(ask, container.fabric) if _name(one) > after)
    allowed = [one for _, one in found if wanted.allows(_facts(one, protected))]
    shown = allowed[:PAGE]
    following = _name(shown[-1]) if len(allowed) > PAGE else ""
    return page(ask, (_machine(ask, container, one, protected) for one in shown), following)


def get(ask: Ask) -> Answer:
    """Return a machine."""
    container = container_of(ask)
    found = named(machines(ask, container.fabric), ask.names["protectable"], _name, "protectable item")
    return Answer(body=_machine(ask, container, found, _protected(ask)))


def machines(ask: Ask, fabric: str) -> tuple[ProtectableItem, ...]:
    """Return the machines of a fabric's container."""
    known = ask.service.fabrics.machines(ask.caller, ask.vault)
    return tuple(one for one in known if one.fabric == fabric)


def meant(ask: Ask, fabric: str, name: str) -> ProtectableItem:
    """Return the machine that a name means: its guid, or what it is called if only one is called so."""
    known = machines(ask, fabric)
    for called in (_words, _short):
        found = [one for one in known if called(one).casefold() == name.casefold()]
        if len(found) == 1:
            return found[0]
    return named(known, name, _name, "protectable item")


def kind_of(disks: Sequence[Disk]) -> str | None:
    """Return what each disk of a machine is for: which of several it starts from its host does not say."""
    return "OperatingSystem" if len(disks) == 1 else None


def is_called(one: ProtectableItem, name: str) -> bool:
    """Is a machine called so, by whatever it is known to clients?"""
    words = (_name(one), one.id, _words(one), _short(one))
    return name.casefold() in {word.casefold() for word in words}


def words(container: Container, one: ProtectableItem) -> str:
    """Return the words by which a machine is found in its vault."""
    return f"{container_words(container)}/replicationProtectableItems/{_name(one)}"


def _words(one: ProtectableItem) -> str:
    return one.machine


def _short(one: ProtectableItem) -> str:
    """Return what a machine is called on its host."""
    return one.machine.rpartition("#")[2]


def _name(one: ProtectableItem) -> str:
    return guid(one.server, one.machine)


def _protected(ask: Ask) -> Mapping[tuple[str, str], ProtectedItem]:
    return {
        (item.route.source, item.route.machine): item
        for item in ask.service.items.list(ask.caller, ask.vault)
        if item.protection is not Protection.UNPROTECTED
    }


def _facts(one: ProtectableItem, protected: Mapping[tuple[str, str], ProtectedItem]) -> Mapping[str, str]:
    is_protected = (one.server, one.machine) in protected
    return {
        "friendlyname": one.machine,
        "protectionstatus": "Protected" if is_protected else "Unprotected",
    }


def _machine(
    ask: Ask, container: Container, one: ProtectableItem, protected: Mapping[tuple[str, str], ProtectedItem]
) -> Mapping[str, object]:
    item = protected.get((one.server, one.machine))
    kind = "replicationFabrics/replicationProtectionContainers/replicationProtectableItems"
    of_item = None
    if item:
        place = container_words(held_by(item, container.fabric))
        of_item = f"{ask.home}/{place}/replicationProtectedItems/{item.name}"
    server = (
        f"{ask.home}/replicationFabrics/{container.fabric}/replicationRecoveryServicesProviders/{one.server}"
    )
    return resource(
        ask.home,
        words(container, one),
        kind,
        {
            **{"friendlyName": one.machine, "protectionStatus": _facts(one, protected)["protectionstatus"]},
            **{"replicationProtectedItemId": of_item, "recoveryServicesProviderId": server},
            **{"protectionReadinessErrors": [], "supportedReplicationProviders": [KIND]},
            "customDetails": {
                **{"instanceType": "HyperVVirtualMachine", "sourceItemId": one.id, "generation": ""},
                **{"osDetails": None, "hyperVHostId": one.server},
                "diskDetails": [
                    {
                        "vhdId": disk.id,
                        "vhdName": disk.id,
                        "vhdType": kind_of(one.disks),
                        "maxSizeMB": disk.size_mib,
                    }
                    for disk in one.disks
                ],
            },
        },
    )


HANDLERS = {
    "replication_protectable_items.list_by_replication_protection_containers": list_all,
    "replication_protectable_items.get": get,
}
