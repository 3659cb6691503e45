"""Policies of a vault (R-P-5)."""

from __future__ import annotations

from dataclasses import replace

from bascule.model.errors import Missing, Refused
from bascule.model.policies import AUTO, OFF, Policy
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.fabric import ReplicationPolicy
from bascule.model.vault.item import Protection
from bascule.ports.catalog import Books

from ..gate import Call, Gate


class PolicyDesk:
    """The policies of vaults."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def list(self, caller: Caller, vault: str) -> tuple[ReplicationPolicy, ...]:
        """Return a vault's policies, by name."""
        with self._gate.reading(Call(caller, "list-policies", vault, Right.READ)) as books:
            return books.policies.list(vault)

    def get(self, caller: Caller, vault: str, name: str) -> ReplicationPolicy:
        """Return a policy, or raise Missing."""
        with self._gate.reading(Call(caller, "show-policy", vault, Right.READ, name)) as books:
            return books.policies.get(vault, name)

    def put(self, caller: Caller, vault: str, name: str, policy: Policy) -> ReplicationPolicy:
        """Write a policy in, in place of one of its name.

        Machines that are protected by it are told of the change by jobs of their own (``Following``).
        Commands to run on hosts and sockets to speak to are for the hosts' own operators to name.
        """
        with self._gate.writing(Call(caller, "put-policy", vault, Right.CHANGE, name)) as books:
            if policy.before or policy.after or policy.agent not in (AUTO, OFF):
                raise Refused(
                    "a vault's policy names no commands and no sockets of a host",
                    cure=f"name them on the host itself: `bascule protect`; here it is {AUTO} or {OFF}",
                    code="not-of-a-vault",
                )
            made = _changed(books, vault, name, policy)
            books.policies.put(made)
            return made

    def remove(self, caller: Caller, vault: str, name: str) -> None:
        """Remove a policy that no item and no group has."""
        with self._gate.writing(Call(caller, "remove-policy", vault, Right.CHANGE, name)) as books:
            users = [
                item.name
                for item in books.items.list(vault)
                if item.route.policy == name and item.protection is not Protection.UNPROTECTED
            ]
            users += [
                f"protection group {one.name}" for one in books.mappings.list(vault) if one.policy == name
            ]
            if users:
                raise Refused(
                    f"policy {name} is that of {', '.join(users)[:300]}",
                    cure="give them another policy first",
                    code="in-use",
                )
            books.policies.remove(vault, name)


def _changed(books: Books, vault: str, name: str, policy: Policy) -> ReplicationPolicy:
    """Return a policy as it is to be kept: of the next revision if it asks something else of hosts."""
    try:
        before = books.policies.get(vault, name)
    except Missing:
        return ReplicationPolicy(vault, name, policy)
    told = replace(before.policy, first_copy_at=policy.first_copy_at)
    return ReplicationPolicy(vault, name, policy, before.revision + (policy != told))
