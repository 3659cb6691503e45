"""Sites of a vault, the hosts that join them, and the machines that those have (R-W-2, R-W-6, R-P-1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bascule.control import meant
from bascule.model.errors import Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.fabric import Enrolment, Fabric, ProtectableItem, Server
from bascule.model.vault.sides.pairing import ContainerMapping
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.hosts import Hosts, RegistrationKey
from bascule.ports.vault.pki import Authority, Foreign
from bascule.wire.control.invitation import Invitation, address_parts

from ..gate import Call, Gate


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where hosts come in: who they are, who vouches for them, and where they find the door."""

    hosts: Hosts
    authority: Authority
    addresses: Callable[[], tuple[str, ...]]


class FabricDesk:
    """The fabrics of vaults."""

    def __init__(self, gate: Gate, entrance: Entrance, clock: Clock, ids: Ids) -> None:
        self._gate = gate
        self._entrance = entrance
        self._clock = clock
        self._ids = ids

    def list(self, caller: Caller, vault: str) -> tuple[Fabric, ...]:
        """Return a vault's fabrics, by name."""
        with self._gate.reading(Call(caller, "list-fabrics", vault, Right.READ)) as books:
            return books.fabrics.list(vault)

    def create(self, caller: Caller, vault: str, name: str) -> Fabric:
        """Make a site for hosts. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-fabric", vault, Right.CHANGE, name)) as books:
            made = Fabric(vault, name)
            books.fabrics.add(made)
            return made

    def remove(self, caller: Caller, vault: str, name: str) -> None:
        """Remove a site in which no host is let in any more."""
        with self._gate.writing(Call(caller, "remove-fabric", vault, Right.CHANGE, name)) as books:
            hosts = (one for one in books.servers.list(vault) if one.fabric == name and not one.is_revoked)
            _refuse_if_any(name, "hosts", (one.name for one in hosts), "revoke them first")
            groups = (one for one in books.mappings.list(vault) if name in _sites_of(one))
            _refuse_if_any(name, "protection groups", (one.name for one in groups), "remove them first")
            plans = (one for one in books.plans.list(vault) if name in (one.primary, one.leads_to))
            _refuse_if_any(name, "recovery plans", (one.id for one in plans), "remove them first")
            for one in books.containers.list(vault):
                if one.fabric == name:
                    books.containers.remove(vault, one.id)
            if any(one.id == name for one in books.recovery_settings.list(vault)):
                books.recovery_settings.remove(vault, name)
            books.fabrics.remove(vault, name)

    def invite(
        self, caller: Caller, vault: str, fabric: str, lasts_seconds: float, host: str = ""
    ) -> Invitation:
        """Make a registration key, by which hosts join a site until it expires, each of them once.

        One for a host lets that one begin anew, also if it was revoked. Of the secret only a digest is kept.
        """
        with self._gate.writing(Call(caller, "make-key", vault, Right.CHANGE, host or fabric)) as books:
            books.fabrics.get(vault, fabric)
            host = meant.server(books, vault, host).id if host else ""
            id, secret = self._ids.random(8).hex(), self._ids.random(32).hex()
            until = self._clock.now() + lasts_seconds
            invitation = self._invitation(id, secret, until)
            # A kill between the two leaves a key that says where hosts would belong, and lets in nobody.
            books.enrolments.add(Enrolment(vault, id, fabric, until))
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self._entrance.hosts.add_key(RegistrationKey(id, digest, until, host))
        return invitation

    def described(self, caller: Caller, vault: str, certificate: bytes) -> Foreign:
        """Return what a certificate says that somebody hands in for a vault; it opens nothing."""
        with self._gate.reading(Call(caller, "show-certificate", vault, Right.CHANGE)):
            return self._entrance.authority.describe(certificate)

    def servers(self, caller: Caller, vault: str) -> tuple[Server, ...]:
        """Return a vault's hosts, by id."""
        with self._gate.reading(Call(caller, "list-servers", vault, Right.READ)) as books:
            return books.servers.list(vault)

    def revoke(self, caller: Caller, vault: str, server: str) -> None:
        """Let a host in no more, with whatever certificate; a key for it ends that."""
        with self._gate.writing(Call(caller, "revoke", vault, Right.CHANGE, server)) as books:
            found = meant.server(books, vault, server)
            self._entrance.hosts.revoke(found.id)
            books.servers.put(replace(found, is_revoked=True))

    def machines(self, caller: Caller, vault: str) -> tuple[ProtectableItem, ...]:
        """Return the machines that could be protected, by id."""
        with self._gate.reading(Call(caller, "list-machines", vault, Right.READ)) as books:
            return books.protectable.list(vault)

    def _invitation(self, id: str, secret: str, until: float) -> Invitation:
        entrance = self._entrance
        addresses = entrance.addresses()
        for address in addresses:
            address_parts(address)
        return Invitation(entrance.authority.vault, addresses, entrance.authority.text, id, secret, until)


def _sites_of(group: ContainerMapping) -> tuple[str, str]:
    """Return the site that a protection group is of, and the one that it leads to."""
    return group.container.partition("/")[0], group.leads_to.partition("/")[0]


def _refuse_if_any(site: str, what: str, names: Iterable[str], cure: str) -> None:
    if found := ", ".join(names):
        raise Refused(f"{site} has {what}: {found[:300]}", cure=cure, code="not-empty")
