"""Vaults, and who is what in them."""

from __future__ import annotations

from bascule.model.errors import Refused
from bascule.model.vault.access import Assignment, Caller, Right, Role
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

    def spelt(self, caller: Caller, name: str) -> str:
        """Return how the vault is spelt that somebody means; what they do not see stays as it is."""
        return self._gate.spelt(caller, name)

    def create(self, caller: Caller, name: str) -> Vault:
        """Make a vault. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-vault", "", Right.OWN, name)) as books:
            made = Vault(name)
            books.vaults.add(made)
            return made

    def remove(self, caller: Caller, vault: str) -> None:
        """Remove a vault, in which nothing may be protected, nor any host be known."""
        with self._gate.writing(Call(caller, "remove-vault", vault, Right.OWN, vault)) as books:
            _check_empty(books, vault)
            books.vaults.remove(vault)

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
