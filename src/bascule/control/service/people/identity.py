"""Who signs in at a server, and who a token is of (R-OP-3).

A token is good as long as the secret is by which it was got: who removes a principal or one of its secrets
shuts it out at once, not when the token expires.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Semaphore
from uuid import UUID

from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.principal import SECRETS_MAX, Principal, Secret
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.principals import Principals
from bascule.wire import tokens

from ..gate import Call, Gate
from .attempts import Attempts

TOKEN_SECONDS = 3600
SECRET_SECONDS = 2 * 365 * 86400.0
STRANGER = Caller("(nobody)")
_UNKNOWN = "(unknown)"
# 16 MiB and some 40 ms for each try; more than two at a time would be for who wants to wear the server out.
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
_AT_ONCE = 2
_SECRET_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Made:
    """A principal, and the text of its new secret, which is told once."""

    principal: Principal
    secret: str


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and how long it lasts."""

    text: str
    lasts_seconds: int


class IdentityDesk:
    """The service principals of a server. Managing them is for its owner."""

    def __init__(self, gate: Gate, principals: Principals, clock: Clock, ids: Ids) -> None:
        self._gate = gate
        self._principals = principals
        self._clock = clock
        self._ids = ids
        self._attempts = Attempts(clock)
        self._turns = Semaphore(_AT_ONCE)

    @property
    def server(self) -> str:
        """Return the server's id."""
        return self._principals.server

    def list(self, caller: Caller) -> tuple[Principal, ...]:
        """Return all principals, by name."""
        with self._gate.reading(Call(caller, "list-principals", "", Right.OWN)):
            return self._principals.all()

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
            found = self._principals.get(id)
            held = tuple(one for one in found.secrets if one.expires_at > self._clock.now())
            if len(held) >= SECRETS_MAX:
                raise Refused(
                    f"{found.name} has {len(held)} secrets",
                    cure="take one away first",
                    code="too-many-secrets",
                )
            text, secret = self._made_secret()
            after = replace(found, secrets=(*held, secret))
            self._principals.put(after)
        return Made(after, text)

    def forget(self, caller: Caller, id: str, secret: str) -> None:
        """Take one secret of a principal away, and with it all tokens that were got by it."""
        with self._gate.writing(Call(caller, "forget-secret", "", Right.OWN, id)):
            found = self._principals.get(id)
            kept = tuple(one for one in found.secrets if one.id != secret)
            if kept == found.secrets:
                raise Missing(f"{found.name} has no secret {secret[:64]}")
            self._principals.put(replace(found, secrets=kept))

    def remove(self, caller: Caller, id: str) -> None:
        """Remove a principal with all roles that its name has."""
        with self._gate.writing(Call(caller, "remove-principal", "", Right.OWN, id)) as books:
            found = self._principals.get(id)
            for vault in books.vaults.list(found.name):
                books.assignments.remove(vault.name, found.name)
            self._principals.remove(id)

    def sign_in(self, id: str, secret: str) -> Token:
        """Return a token for somebody who has a secret; Refused tells not which of the two is wrong."""
        found = self._found(id)
        who = found.name if found else _UNKNOWN
        call = Call(Caller(who), "sign-in", "", Right.READ)
        try:
            self._attempts.begin(who)
            with self._turns:
                known = _matching(found.secrets if found else (), secret)
            if found is None or known is None or known.expires_at <= self._clock.now():
                self._attempts.fail(who)
                raise Refused(
                    "the client or its secret is not known here",
                    cure="see that both are right, and that the secret has not expired",
                    code="invalid-client",
                )
        except Refused as error:
            self._gate.refused(call, error)
            raise
        self._attempts.succeed(who)
        self._gate.seen(call)
        return self._token(found, known)

    def who(self, token: str) -> Caller:
        """Return who a token is of, or refuse it."""
        server, key = self._principals.server, self._principals.key
        try:
            said = tokens.read(token, key, issuer=server, audience=server, now=self._clock.now())
            found = self._found(said.get("sub", ""))
            held = found.secrets if found else ()
            if found is None or not any(one.id == said.get("sid") for one in held):
                raise Refused(
                    "the token is of somebody who is not let in any more", cure="sign in", code="revoked"
                )
        except Refused as error:
            self._gate.refused(Call(STRANGER, "show-token", "", Right.READ), error)
            raise
        return Caller(found.name, found.is_owner)

    def _found(self, id: str) -> Principal | None:
        try:
            return self._principals.get(id)
        except Missing:
            return None

    def _token(self, principal: Principal, secret: Secret) -> Token:
        now, server = int(self._clock.now()), self._principals.server
        lasts = min(TOKEN_SECONDS, int(secret.expires_at - now))
        said: dict[str, str | int] = {
            **{"iss": server, "aud": server, "tid": server},
            **{"sub": principal.id, "oid": principal.id, "appid": principal.id, "sid": secret.id},
            **{"iat": now, "nbf": now, "exp": now + lasts},
        }
        return Token(tokens.sign(said, self._principals.key), lasts)

    def _made(self, name: str, *, is_owner: bool) -> Made:
        text, secret = self._made_secret()
        id = str(UUID(bytes=self._ids.random(16), version=4))
        return Made(Principal(id, name, is_owner, (secret,)), text)

    def _made_secret(self) -> tuple[str, Secret]:
        text = base64.urlsafe_b64encode(self._ids.random(32)).rstrip(b"=").decode()
        salt, now = self._ids.random(16), self._clock.now()
        made = Secret(self._ids.random(8).hex(), salt, _digest(text, salt), now, now + SECRET_SECONDS)
        return text, made


def _matching(secrets: tuple[Secret, ...], text: str) -> Secret | None:
    """Return the secret that a text is; that takes as long if there is none."""
    if len(text) > _SECRET_CHARACTERS_MAX:
        return None
    if not secrets:
        _digest(text, bytes(16))
    return next((one for one in secrets if hmac.compare_digest(_digest(text, one.salt), one.digest)), None)


def _digest(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(errors="replace"), salt=salt, **_SCRYPT)
