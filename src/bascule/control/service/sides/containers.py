"""Containers of sites, and the protection groups that their machines are put into (R-W-9)."""

from __future__ import annotations

from dataclasses import replace

from bascule.control import meant
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import Protection
from bascule.model.vault.sides.pairing import AZURE, Container, ContainerMapping, Target
from bascule.ports.catalog import Books

from ..gate import Call, Gate


class ContainerDesk:
    """The containers of vaults."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def list(self, caller: Caller, vault: str) -> tuple[Container, ...]:
        """Return a vault's containers by id: each site's own, and those that were made."""
        with self._gate.reading(Call(caller, "list-containers", vault, Right.READ)) as books:
            own = (Container.own(vault, one.id) for one in books.fabrics.list(vault))
            return tuple(sorted((*own, *books.containers.list(vault)), key=lambda one: one.id))

    def create(self, caller: Caller, vault: str, fabric: str, name: str) -> Container:
        """Make a container of a site's machines. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-container", vault, Right.CHANGE, name)) as books:
            books.fabrics.get(vault, fabric)
            made = Container(vault, f"{fabric}/{name}")
            if made.is_own:
                raise Exists(f"{fabric} has a container {name} already", cure="choose another name")
            books.containers.add(made)
            return made

    def remove(self, caller: Caller, vault: str, id: str) -> None:
        """Remove a container that is in no group; a site's own one goes with the site."""
        with self._gate.writing(Call(caller, "remove-container", vault, Right.CHANGE, id)) as books:
            found = Container(vault, id)
            if found.is_own:
                raise Refused(
                    f"{found.name} is the container of its site",
                    cure="remove the site, or let it be",
                    code="not-allowed",
                )
            groups = [one.name for one in books.mappings.list(vault) if one.container == id]
            if groups:
                raise Refused(
                    f"{found.name} has protection groups: {', '.join(groups)[:300]}",
                    cure="remove them first",
                    code="not-empty",
                )
            books.containers.remove(vault, id)


class MappingDesk:
    """The protection groups of vaults."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def list(self, caller: Caller, vault: str) -> tuple[ContainerMapping, ...]:
        """Return a vault's groups, by id."""
        with self._gate.reading(Call(caller, "list-mappings", vault, Right.READ)) as books:
            return books.mappings.list(vault)

    def put(self, caller: Caller, mapping: ContainerMapping) -> ContainerMapping:
        """Make a group, or change where it leads and what it says of the target.

        Those that are in it keep the route that they were enabled with, and so the policy.
        """
        call = Call(caller, "put-mapping", mapping.vault, Right.CHANGE, mapping.id)
        with self._gate.writing(call) as books:
            vault = mapping.vault
            _container(books, vault, mapping.container)
            books.policies.get(vault, mapping.policy)
            if mapping.leads_to != AZURE:
                _container(books, vault, mapping.leads_to)
            made = replace(mapping, target=settled(books, vault, mapping.target))
            refuse_elsewhere(books, made, made.target.host)
            known = _known(books, vault, mapping.id)
            if known and known.policy != mapping.policy and (names := _inside(books, vault, mapping.id)):
                raise Refused(
                    f"{known.name} has another policy, and machines: {names}",
                    cure="make another group, or disable their protection first",
                    code="in-use",
                )
            books.mappings.put(made)
            return made

    def remove(self, caller: Caller, vault: str, id: str) -> None:
        """Remove a group in which no machine is protected any more."""
        with self._gate.writing(Call(caller, "remove-mapping", vault, Right.CHANGE, id)) as books:
            found = books.mappings.get(vault, id)
            if names := _inside(books, vault, id):
                raise Refused(
                    f"{found.name} has machines: {names}",
                    cure="disable their protection first",
                    code="not-empty",
                )
            books.mappings.remove(vault, id)


def settled(books: Books, vault: str, target: Target) -> Target:
    """Return a target with the host by its id; refused if that is no host of the vault, or not let in."""
    target.check()
    if not target.host:
        return target
    return replace(target, host=admitted(meant.server(books, vault, target.host)).id)


def admitted(host: Server) -> Server:
    """Return a host, or refuse one that is let in no more."""
    if host.is_revoked:
        raise Refused(f"{host.name} is let in no more", cure="name a host that is", code="revoked-host")
    return host


def refuse_elsewhere(books: Books, mapping: ContainerMapping, host: str) -> None:
    """Refuse a host that is not of the site to which a group leads."""
    fabric = mapping.leads_to.partition("/")[0]
    if mapping.leads_to == AZURE or not host:
        return
    found = books.servers.get(mapping.vault, host)
    if found.fabric != fabric:
        raise Refused(
            f"protection group {mapping.name} leads to {fabric}, and host {found.name} is of {found.fabric}",
            cure=f"name a host of {fabric}",
            code="other-site",
        )


def _container(books: Books, vault: str, id: str) -> None:
    found = Container(vault, id)
    books.fabrics.get(vault, found.fabric)
    if not found.is_own:
        books.containers.get(vault, id)


def _known(books: Books, vault: str, id: str) -> ContainerMapping | None:
    try:
        return books.mappings.get(vault, id)
    except Missing:
        return None


def _inside(books: Books, vault: str, id: str) -> str:
    names = (
        item.name
        for item in books.items.list(vault)
        if item.mapping == id and item.protection is not Protection.UNPROTECTED
    )
    return ", ".join(names)[:300]
