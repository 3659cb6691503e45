"""The service principals of a server: programs, and the secrets that they sign in by (R-OP-3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.principal import SECRETS_MAX, Kind, Principal
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.principals import Principals

from ..gate import Call, Gate
from .doorkeeper import Doorkeeper, Token


@dataclass(frozen=True, slots=True)
class Made:
    """A principal, and the text of its new secret, which is told once."""

    principal: Principal
    secret: str


class IdentityDesk:
    """The service principals of a server. Managing them is for its owner."""

    def __init__(
        self, gate: Gate, principals: Principals, keeper: Doorkeeper, clock: Clock, ids: Ids
    ) -> None:
        self._gate = gate
        self._principals = principals
        self._keeper = keeper
        self._clock = clock
        self._ids = ids

    @property
    def server(self) -> str:
        """Return the server's id."""
        return self._principals.server

    def list(self, caller: Caller) -> tuple[Principal, ...]:
        """Return all service principals, by name."""
        with self._gate.reading(Call(caller, "list-principals", "", Right.OWN)):
            return tuple(one for one in self._principals.all() if one.kind is Kind.PROGRAM)

    def create(self, caller: Caller, name: str, *, is_owner: bool = False) -> Made:
        """Make a principal with a first secret. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-principal", "", Right.OWN, name)):
            made = self._made(name, is_owner=is_owner)
            # Should the record fail to be written, this is a principal whose secret nobody was told.
            self._principals.add(made.principal)
        return made

    def first(self, caller: Caller, name: str, keep: Callable[[Made], None]) -> Made | None:
        """Make an owner's principal if there is none at all; ``keep`` puts its secret away before it is one.

        So a kill at any moment leaves no principal whose secret nobody has. Of several servers that start at
        once and share their principals one makes it.
        """
        if self._principals.all():
            return None
        try:
            with self._gate.writing(Call(caller, "create-principal", "", Right.OWN, name)):
                if self._principals.all():
                    raise Exists("another server made the first principal")
                made = self._made(name, is_owner=True)
                keep(made)
                self._principals.add(made.principal)
        except Exists:
            return None
        return made

    def renew(self, caller: Caller, id: str) -> Made:
        """Give a principal one more secret; the ones before hold until they are taken away."""
        with self._gate.writing(Call(caller, "renew-secret", "", Right.OWN, id)):
            found = self._get(id)
            held = tuple(one for one in found.secrets if one.expires_at > self._clock.now())
            if len(held) >= SECRETS_MAX:
                raise Refused(
                    f"{found.name} has {len(held)} secrets",
                    cure="take one away first",
                    code="too-many-secrets",
                )
            text, secret = self._keeper.made_secret()
            after = replace(found, secrets=(*held, secret))
            self._principals.put(after)
        return Made(after, text)

    def forget(self, caller: Caller, id: str, secret: str) -> None:
        """Take one secret of a principal away, and with it all tokens that were got by it."""
        with self._gate.writing(Call(caller, "forget-secret", "", Right.OWN, id)):
            found = self._get(id)
            kept = tuple(one for one in found.secrets if one.id != secret)
            if kept == found.secrets:
                raise Missing(f"{found.name} has no secret {secret[:64]}")
            self._principals.put(replace(found, secrets=kept))

    def remove(self, caller: Caller, id: str) -> None:
        """Remove a principal with all roles that its name has."""
        with self._gate.writing(Call(caller, "remove-principal", "", Right.OWN, id)) as books:
            found = self._get(id)
            for vault in books.vaults.list(found.name):
                books.assignments.remove(vault.name, found.name)
            self._principals.remove(id)

    def sign_in(self, id: str, secret: str) -> Token:
        """Return a token for a program that has a secret; Refused tells not which of the two is wrong."""
        found = self._keeper.found(id)
        known = self._keeper.check(found, Kind.PROGRAM, secret)
        if found is None:
            raise Missing(f"{id[:64]} has gone meanwhile")
        return self._keeper.token(found, known)

    def who(self, token: str) -> Caller:
        """Return who a token is of, or refuse it."""
        return self._keeper.who(token)

    def _get(self, id: str) -> Principal:
        found = self._principals.get(id)
        if found.kind is not Kind.PROGRAM:
            raise Missing(f"there is no service principal {id[:64]}", cure="`list` names them")
        return found

    def _made(self, name: str, *, is_owner: bool) -> Made:
        text, secret = self._keeper.made_secret()
        id = str(UUID(bytes=self._ids.random(16), version=4))
        return Made(Principal(id, name, is_owner, (secret,)), text)
