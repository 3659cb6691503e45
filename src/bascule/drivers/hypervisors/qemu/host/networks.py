"""What a network card may be plugged into on this host, as ``networks.json`` says.

    {"version": 1, "networks": {
        "lan":  {"kind": "bridge", "device": "br0"},   a bridge of the host, with whatever else is in it
        "lab":  {"kind": "tap", "device": "tap0"},     a tap of somebody else's, for one machine
        "out":  {"kind": "user"},                      out through this host's own connections, and not in
        "test": {"kind": "isolated"}                   the machines that are plugged into it, and nothing else
    }}

Of kind user each card has a network of its own, where QEMU hands out the address that the card is to have. In
an isolated network a server of ours does (``leases``), which is there for as long as a machine asks for it.

A host without this file has ``user`` and ``isolated``, so that a first machine needs nothing configured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface
from itertools import islice
from pathlib import Path
from typing import Any

from bascule.model.errors import Damaged, Refused
from bascule.model.machines import MachineDefinition, mac_of

from .leases import refuse_without_server

_VERSION = 1


class Kind(StrEnum):
    """How a network is made."""

    BRIDGE = "bridge"
    TAP = "tap"
    USER = "user"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class Network:
    """A network; ``device`` is the host's bridge or tap, where there is one."""

    kind: Kind
    device: str = ""


_DEFAULTS = {"isolated": Network(Kind.ISOLATED), "user": Network(Kind.USER)}


def networks_in(folder: Path) -> Mapping[str, Network]:
    """Return the networks of a host by their names."""
    path = folder / "networks.json"
    try:
        fields: Any = json.loads(path.read_bytes())
        if fields["version"] != _VERSION:
            raise Damaged(f"{path} is of version {fields['version']}, not {_VERSION}")
        return {name: _network(path, name, found) for name, found in sorted(fields["networks"].items())}
    except (FileNotFoundError, NotADirectoryError):
        return _DEFAULTS
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"{path} cannot be read: {error!r}") from error


def _network(path: Path, name: str, fields: dict[str, str]) -> Network:
    network = Network(Kind(fields["kind"]), fields.get("device", ""))
    if (network.kind in (Kind.BRIDGE, Kind.TAP)) != bool(network.device):
        raise Damaged(
            f"{path}: network {name} is of kind {network.kind} with device {network.device!r}",
            cure="a bridge and a tap need a device, and no other kind has one",
        )
    return network


def check_networks(definition: MachineDefinition, known: Mapping[str, Network]) -> None:
    """Refuse a machine with a card in a network that is not there."""
    for nic in definition.hardware.nics:
        if nic.network and nic.network not in known:
            raise Refused(
                f"{definition.name}: this host has no network {nic.network!r} for card {nic.id}",
                cure=f"it has {', '.join(known) or 'none'}; more are added in networks.json",
            )
        kind = known[nic.network].kind if nic.network else None
        if nic.address and kind is Kind.ISOLATED:
            refuse_without_server(definition.name, nic.address)
        elif nic.address and kind is not Kind.USER:
            mac = nic.mac or mac_of(definition.name, nic.id)
            raise Refused(
                f"{definition.name}: {nic.address} is not ours to hand out in network {nic.network!r}",
                cure=f"have its DHCP server reserve it for {mac}, or plug {nic.id} into one of kind user",
            )


def way_out(address: str) -> str:
    """Return what QEMU is told of a network of kind user in which the guest is to get an address.

    The gateway is the first address that is left, as it mostly is. So a guest that has this address written
    down, and asks for no lease, has its network too.
    """
    if not address:
        return "user"
    wanted = IPv4Interface(address)
    gateway, names, *_ = (host for host in islice(wanted.network.hosts(), 3) if host != wanted.ip)
    return f"user,net={wanted.network},host={gateway},dns={names},dhcpstart={wanted.ip}"
