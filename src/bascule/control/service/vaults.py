"""Vaults, and who is what in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import Assignment, Caller, Right, Role
from bascule.model.vault.extended import ExtendedInfo
from bascule.model.vault.item import Protection
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Books
from bascule.ports.vault.audit import Deed

from .gate import Call, Gate


class VaultDesk:
    """The vaults of a server. Making and removing them, and roles in them, are the owner's."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def list(self, caller: Caller) -> tuple[Vault, ...]:
        """Return the vaults in which the caller has a role, by name; all to the owner."""
        return self._gate.visible(caller)

    def get(self, caller: Caller, vault: str) -> Vault:
        """Return a vault."""
        with self._gate.reading(Call(caller, "show-vault", vault, Right.READ)) as books:
            return books.vaults.get(vault)

    def meant(self, caller: Caller, name: str) -> Vault | None:
        """Return the vault that somebody means, in whatever case; None for what they do not see."""
        return self._gate.meant(caller, name)

    def create(self, caller: Caller, vault: Vault) -> None:
        """Make a vault. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-vault", "", Right.OWN, vault.name)) as books:
            books.vaults.add(vault)

    def note(self, caller: Caller, vault: str, sku: str, tags: Mapping[str, str]) -> Vault:
        """Replace what is noted of a vault; where it belongs stays."""
        with self._gate.writing(Call(caller, "note-vault", vault, Right.CHANGE, vault)) as books:
            after = replace(books.vaults.get(vault), sku=sku, tags=tags)
            books.vaults.save(after)
            return after

    def remove(self, caller: Caller, vault: str) -> None:
        """Remove a vault, in which nothing may be protected, nor any host be known."""
        with self._gate.writing(Call(caller, "remove-vault", vault, Right.OWN, vault)) as books:
            _check_empty(books, vault)
            books.vaults.remove(vault)

    def extended(self, caller: Caller, vault: str) -> ExtendedInfo:
        """Return what clients left with a vault, or raise Missing."""
        with self._gate.reading(Call(caller, "show-extended", vault, Right.READ)) as books:
            found = books.extended.list(vault)
        if not found:
            raise Missing(
                f"nothing was left with {vault} beside",
                cure="put it there first",
                code="resource-extended-info-not-found",
            )
        return found[0]

    def extend(self, caller: Caller, info: ExtendedInfo) -> None:
        """Leave something with a vault."""
        with self._gate.writing(Call(caller, "put-extended", info.vault, Right.CHANGE)) as books:
            books.extended.put(info)

    def roles(self, caller: Caller, vault: str) -> tuple[Assignment, ...]:
        """Return who is what in a vault, by name."""
        with self._gate.reading(Call(caller, "list-roles", vault, Right.READ)) as books:
            return books.assignments.list(vault)

    def assign(self, caller: Caller, vault: str, name: str, role: Role) -> None:
        """Make somebody something in a vault, in place of what they were."""
        with self._gate.writing(Call(caller, f"assign-{role}", vault, Right.OWN, name)) as books:
            books.assignments.put(Assignment(vault, name, role))

    def unassign(self, caller: Caller, vault: str, name: str) -> None:
        """Take somebody's role in a vault away."""
        with self._gate.writing(Call(caller, "unassign", vault, Right.OWN, name)) as books:
            books.assignments.remove(vault, name)

    def deeds(self, caller: Caller, vault: str, limit: int = 1000) -> tuple[Deed, ...]:
        """Return who did what in a vault and who was refused, the newest first.

        Without a vault, those of the server, which are for its owner.
        """
        with self._gate.reading(Call(caller, "list-deeds", vault, Right.READ)) as books:
            return books.deeds.list(vault, limit)


def _check_empty(books: Books, vault: str) -> None:
    kept = [item.name for item in books.items.list(vault) if item.protection is not Protection.UNPROTECTED]
    hosts = [server.name for server in books.servers.list(vault) if not server.is_revoked]
    if kept or hosts:
        holds = ", ".join([f"item {name}" for name in kept] + [f"host {name}" for name in hosts])
        raise Refused(
            f"{vault} is not empty: {holds[:300]}",
            cure="disable protection and revoke the hosts first",
            code="not-empty",
        )
