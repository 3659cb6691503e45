"""Addresses that libvirt's own DHCP servers keep for the cards of our machines.

Only in a network whose addresses libvirt hands out: there a reservation is one entry that libvirt keeps, and
no daemon of ours has to live. Order: an entry is made before the domain that has the card is defined, and
removed before the domain is; so a kill leaves at worst an entry that keeps an address for a MAC that nobody
else has. The domain says which entries we made: what an operator reserved is used, and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bascule.model.errors import Refused
from bascule.model.machines import MachineDefinition, mac_of

from ..connection import Connection, Network, told

NAMESPACE = "urn:bascule:machine"
_DELETE, _ADD_LAST = 2, 3  # of virNetworkUpdateCommand
_HOSTS = 4  # of virNetworkUpdateSection
_LIVE, _CONFIG = 1, 2  # of virNetworkUpdateFlags


@dataclass(frozen=True, slots=True)
class Lease:
    """An address that a card of a machine is to get; ``is_ours`` says that we reserved it."""

    card: str
    network: str
    mac: str
    address: str
    is_ours: bool = False

    @property
    def host(self) -> str:
        """Return the address without its prefix length."""
        return self.address.partition("/")[0]


def wanted(definition: MachineDefinition) -> list[Lease]:
    """Return what the cards of a machine are to get."""
    return [
        Lease(nic.id, nic.network, nic.mac or mac_of(definition.name, nic.id), nic.address)
        for nic in definition.hardware.nics
        if nic.address
    ]


def check(connection: Connection, machine: str, leases: Iterable[Lease], before: Iterable[Lease]) -> None:
    """Refuse addresses that cannot be kept where cards are plugged in; ``before`` are given up for them."""
    given_up = {(old.network, old.mac, old.host) for old in before if old.is_ours}
    for lease in leases:
        hosts = _hosts(_described(connection, machine, lease))
        for mac, host in hosts.items():
            is_free = (lease.network, mac, host) in given_up
            if (mac == lease.mac) != (host == lease.host) and not is_free:
                raise Refused(
                    f"{machine}: network {lease.network} keeps {host} for {mac},"
                    f" not {lease.host} for {lease.mac}",
                    cure=f"ask for another address, or take that from there: virsh net-update {lease.network}"
                    f""" delete ip-dhcp-host "<host mac='{mac}' ip='{host}'/>" --live --config""",
                )


def reserve(connection: Connection, leases: Iterable[Lease]) -> Iterator[Lease]:
    """See that each address is kept for its card, after ``check``; yield how."""
    for lease in leases:
        network = next(found for found in connection.listAllNetworks() if found.name() == lease.network)
        if lease.mac in _hosts(network.XMLDesc()):
            yield lease
        else:
            _update(network, _ADD_LAST, lease)
            yield replace(lease, is_ours=True)


def release(connection: Connection, leases: Iterable[Lease]) -> None:
    """See that none of the entries that we made is there any more; a network may be gone."""
    for lease in leases:
        for network in connection.listAllNetworks() if lease.is_ours else ():
            if network.name() == lease.network and _hosts(network.XMLDesc()).get(lease.mac) == lease.host:
                _update(network, _DELETE, lease)


def noted(root: Element) -> list[Lease]:
    """Return what a domain's description says of the addresses of its cards."""
    leases = []
    for found in root.iter(f"{{{NAMESPACE}}}leased"):
        card, network, mac, address = (found.get(name, "") for name in ("card", "network", "mac", "address"))
        leases.append(Lease(card, network, mac, address, found.get("ours") == "yes"))
    return leases


def note(ours: Element, leases: Iterable[Lease]) -> None:
    """Write down in a domain's description what its cards get."""
    for lease in leases:
        fields = {"card": lease.card, "network": lease.network, "mac": lease.mac, "address": lease.address}
        if lease.is_ours:
            fields["ours"] = "yes"
        ElementTree.SubElement(ours, f"{{{NAMESPACE}}}leased", fields)


def _described(connection: Connection, machine: str, lease: Lease) -> str:
    """Return the description of a lease's network, if libvirt hands out addresses there and this is one."""
    known = {network.name(): network for network in connection.listAllNetworks()}
    description = known[lease.network].XMLDesc() if lease.network in known else "<network/>"
    served = _served(description)
    if not served:
        raise Refused(
            f"{machine}: {lease.address} is not libvirt's to hand out in network {lease.network!r}",
            cure=f"have the DHCP server there reserve it for {lease.mac},"
            f" or plug card {lease.card} into a network of libvirt's with DHCP",
        )
    asked = IPv4Interface(lease.address)
    inside = [own for own in served if own.network == asked.network and own.ip != asked.ip]
    if not inside:
        raise Refused(
            f"{machine}: {lease.address} is none of the addresses of network {lease.network}",
            cure=f"ask for a free one of {', '.join(str(own.network) for own in served)}",
        )
    return description


def _served(description: str) -> list[IPv4Interface]:
    """Return the host's own addresses in the parts of a network where libvirt hands out others."""
    found = []
    for part in ElementTree.fromstring(description).iterfind("ip"):
        if part.get("family", "ipv4") == "ipv4" and part.find("dhcp") is not None:
            length = part.get("prefix") or part.get("netmask") or "24"
            found.append(IPv4Interface(f"{part.get('address')}/{length}"))
    return found


def _hosts(description: str) -> dict[str, str]:
    """Return for which MACs a network keeps which addresses."""
    hosts = ElementTree.fromstring(description).iterfind("ip/dhcp/host")
    return {host.get("mac", "").lower(): host.get("ip", "") for host in hosts}


def _update(network: Network, command: int, lease: Lease) -> None:
    flags = _CONFIG | (_LIVE if network.isActive() else 0)
    with told(f"network {lease.network} cannot keep {lease.host}", Refused):
        network.update(command, _HOSTS, -1, f"<host mac='{lease.mac}' ip='{lease.host}'/>", flags)
