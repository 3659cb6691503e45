"""Protecting a machine, by the body that is sent to Azure.

What it says of a machine is held against what is known; what it says of the other side is honoured, or
refused where only a public cloud has it.
"""

from __future__ import annotations

import json
from dataclasses import replace

from bascule.model.vault.fabric import ProtectableItem, check_name
from bascule.model.vault.route import Route

from ...answers import Answer, accepted
from ...asking import Ask, bad_body
from ...errors import TurnedAway
from ...naming import meant
from ...words import sizes
from ..sides import protectable
from ..sides.containers import container_of
from ..sides.targets import target_in
from .commands import check_kind
from .items import item_id
from .shaping import named_in, network_named, refuse_clouds

_DETAILS = ("properties", "providerSpecificDetails")
_OURS = (*_DETAILS, "bascule")
_DISKS_MAX = 256
_SUBNET = "default"


def enable(ask: Ask) -> Answer:
    """Begin to protect a machine."""
    check_kind(ask)
    refuse_clouds(ask)
    container = container_of(ask)
    machine = _machine(ask, container.fabric)
    target = target_in(ask, *_OURS)
    if target.key_file and not target.store:
        target = replace(target, store=ask.text(*_DETAILS, "targetStorageAccountId"))
    route = Route(
        source=machine.server,
        machine=machine.machine,
        recovery=target.host,
        store=target.store,
        key_file=target.key_file,
        policy=_policy(ask),
        disks=_disks(ask),
    )
    name, network, size = _name(ask, machine), _network(ask), ask.text(*_DETAILS, "targetVmSize")
    cpus, memory = sizes.meant(size) if size else (0, 0)

    def settings_for(item: str) -> str:
        if (name, network, size) == ("", "", ""):
            return ""
        shaped = {"name": name, "cpus": cpus, "memory_mib": memory, "cards": {}}
        return json.dumps(named_in(item, shaped, network or None))

    job = ask.service.items.enable(
        ask.caller, ask.vault, ask.names["item"], route, container.id, settings_for
    )
    return accepted(ask, job, item_id(ask, container, ask.names["item"]))


def _machine(ask: Ask, fabric: str) -> ProtectableItem:
    """Return the machine that is meant; what else a body says of which one it is has to mean the same."""
    name = meant(ask, ask.text("properties", "protectableItemId"), "replicationProtectableItems")
    machine = protectable.meant(ask, fabric, name)
    said = ask.text(*_DETAILS, "hvHostVmId")
    if said and not protectable.is_called(machine, said):
        raise TurnedAway(
            f"hvHostVmId {said[:100]!r} is another machine than {machine.machine}",
            cure="give the name or the sourceItemId of the protectable item, or leave it out",
        )
    return machine


def _disks(ask: Ask) -> tuple[str, ...]:
    """Return the disks that are to be replicated, none for all of them."""
    said = ask.value(*_DETAILS, "disksToInclude")
    if said is None:
        return ()
    if not isinstance(said, list) or len(said) > _DISKS_MAX:
        bad_body("disksToInclude is no list of disks")
    disks = tuple(one for one in said if isinstance(one, str) and one)
    if len(disks) != len(said):
        bad_body("disksToInclude is no list of the names of disks")
    system = ask.text(*_DETAILS, "vhdId")
    if disks and system and system not in disks:
        raise TurnedAway(
            f"the disk {system[:100]} of the operating system is not among disksToInclude",
            cure="include it: a machine does not start without it",
        )
    return disks


def _name(ask: Ask, machine: ProtectableItem) -> str:
    """Return what the machine is to be called over there, empty for what it is called here."""
    name = ask.text(*_DETAILS, "targetAzureVmName")
    if not name or name == machine.machine.rpartition("#")[2]:
        return ""
    check_name(name, "a machine")
    return name


def _network(ask: Ask) -> str:
    """Return the network of the other side that all cards are to be in, empty for those that they are in."""
    network = network_named(ask.text(*_DETAILS, "targetAzureNetworkId"))
    subnet = ask.text(*_DETAILS, "targetAzureSubnetId", default=_SUBNET)
    if subnet.casefold() not in (_SUBNET, network.casefold(), ""):
        raise TurnedAway(
            f"network {network[:100]} has no subnet {subnet[:100]}",
            cure=f"a network of hosts has one, called {_SUBNET}",
            code="unknown-network",
        )
    return network


def _policy(ask: Ask) -> str:
    name = meant(ask, ask.text("properties", "policyId"), "replicationPolicies")
    known = ask.service.policies.list(ask.caller, ask.vault)
    return next((one.id for one in known if one.id.casefold() == name.casefold()), name)


HANDLERS = {"replication_protected_items.create": enable}
