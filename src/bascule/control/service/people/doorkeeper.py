"""Who is let in: secrets are compared, tokens given out and read (R-OP-3).

A token is good as long as the secret is by which it was got: who removes a principal or one of its secrets
shuts it out at once, not when the token expires; so does who ends the session of a person, of which each
token got in it knows the id. What a token is for is a word in it, so none passes for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Semaphore

from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.principal import Kind, Principal, Secret
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.principals import Principals
from bascule.wire import tokens

from ..gate import Call, Gate
from .attempts import WINDOW_SECONDS, Attempts

TOKEN_SECONDS = 3600
SESSION_SECONDS = 12 * 3600
SECRET_SECONDS = 2 * 365 * 86400.0
LOCKED_SECONDS = 900.0
"""A person chooses a password, so guessing it has to take longer than guessing what was drawn by lot."""
STRANGER = Caller("(nobody)")
_UNKNOWN = "(unknown)"
# 16 MiB and some 40 ms for each try; more than two at a time would be for who wants to wear the server out.
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
_AT_ONCE = 2
SECRET_CHARACTERS_MAX = 256
_CLIENT_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and how long it lasts."""

    text: str
    lasts_seconds: int


@dataclass(frozen=True, slots=True)
class Session:
    """What a person has who signed in: a token, what gets the next one, and who it is, for the client."""

    token: Token
    refresh: str
    told: str
    person: Principal


class Doorkeeper:
    """Knows principals by their secrets and by their tokens. Thread-safe."""

    def __init__(self, gate: Gate, principals: Principals, clock: Clock, ids: Ids) -> None:
        self._gate = gate
        self._principals = principals
        self._clock = clock
        self._ids = ids
        self._turns = Semaphore(_AT_ONCE)
        self._attempts = {
            Kind.PROGRAM: Attempts(clock, WINDOW_SECONDS),
            Kind.PERSON: Attempts(clock, LOCKED_SECONDS),
        }

    @property
    def server(self) -> str:
        """Return the server's id."""
        return self._principals.server

    def found(self, id: str) -> Principal | None:
        """Return who is called so, if there is one."""
        try:
            return self._principals.get(id)
        except Missing:
            return None

    def check(self, found: Principal | None, kind: Kind, text: str, what: str = "sign-in") -> Secret:
        """Return which secret of somebody a text is; Refused tells not whether there is somebody."""
        if found is not None and found.kind is not kind:
            found = None
        who = found.name if found else _UNKNOWN
        call, attempts = Call(Caller(who), what, "", Right.READ), self._attempts[kind]
        try:
            attempts.begin(who)
            with self._turns:
                known = _matching(found.secrets if found else (), text)
            if known is None or known.expires_at <= self._clock.now():
                attempts.fail(who)
                said = "user or the password" if kind is Kind.PERSON else "client or its secret"
                raise Refused(
                    f"the {said} is not known here",
                    cure="see that both are right, and that the secret has not expired",
                    code="invalid-client",
                )
        except Refused as error:
            self._gate.refused(call, error)
            raise
        attempts.succeed(who)
        self._gate.seen(call)
        return known

    def unlock(self, person: Principal) -> None:
        """Forget how often somebody tried."""
        self._attempts[person.kind].forget(person.name)

    def made_secret(self, text: str = "") -> tuple[str, Secret]:
        """Return the text of a new secret, drawn by lot unless it is given, and what is kept of it."""
        text = text or base64.urlsafe_b64encode(self._ids.random(32)).rstrip(b"=").decode()
        salt, now = self._ids.random(16), self._clock.now()
        made = Secret(self._ids.random(8).hex(), salt, _digest(text, salt), now, now + SECRET_SECONDS)
        return text, made

    def token(self, principal: Principal, secret: Secret, session: str = "") -> Token:
        """Return a token for somebody who has a secret."""
        now = int(self._clock.now())
        lasts = min(TOKEN_SECONDS, int(secret.expires_at - now))
        return Token(self._signed(principal, secret, "access", now + lasts, _within(session)), lasts)

    def session(self, person: Principal, secret: Secret, client: str) -> Session:
        """Begin a session of a person, which ends when it ends, however often tokens are got in it."""
        ends_at = min(int(self._clock.now()) + SESSION_SECONDS, int(secret.expires_at))
        return self._session(person, secret, client, self._ids.random(16).hex(), ends_at)

    def _session(self, person: Principal, secret: Secret, client: str, id: str, ends_at: int) -> Session:
        now = int(self._clock.now())
        names = {"name": person.name, "preferred_username": person.name}
        told = {"aud": client[:_CLIENT_CHARACTERS_MAX], **names}
        token = self.token(person, secret, id)
        refresh = self._signed(person, secret, "refresh", ends_at, _within(id))
        return Session(token, refresh, self._signed(person, secret, "id", now + TOKEN_SECONDS, told), person)

    def renewed(self, refresh: str, client: str) -> Session:
        """Go on with a session, with what it gave out for that."""
        try:
            said, person = self._read(refresh, "refresh")
            secret = next(one for one in person.secrets if one.id == said["sid"])
        except Refused as error:
            self._gate.refused(Call(STRANGER, "renew-token", "", Right.READ), error)
            raise
        self._gate.seen(Call(Caller(person.name), "renew-token", "", Right.READ))
        return self._session(person, secret, client, said.get("ses", ""), int(said["ends"]))

    def end(self, token: str) -> None:
        """End the session that a token was got in: from now on nothing of it is good. Others end nothing."""
        try:
            said, person = self._read(token, "refresh", "access")
        except Refused as error:
            self._gate.refused(Call(STRANGER, "end-session", "", Right.READ), error)
            return
        now = self._clock.now()
        self._gate.seen(Call(Caller(person.name), "end-session", "", Right.READ))
        if session := said.get("ses"):
            self._principals.end_session(session, now + SESSION_SECONDS, now)

    def who(self, token: str) -> Caller:
        """Return who a token is of, or refuse it."""
        try:
            _, found = self._read(token, "access")
        except Refused as error:
            self._gate.refused(Call(STRANGER, "show-token", "", Right.READ), error)
            raise
        return Caller(found.name, found.is_owner)

    def _read(self, token: str, *uses: str) -> tuple[Mapping[str, str], Principal]:
        server, now = self._principals.server, self._clock.now()
        said = tokens.read(token, self._principals.key, issuer=server, audience=server, now=now)
        if said.get("use") not in uses:
            raise Refused("the token is for something else", cure="sign in", code="invalid-token")
        found = self.found(said.get("sub", ""))
        if found is None or not any(one.id == said.get("sid") for one in found.secrets):
            raise Refused(
                "the token is of somebody who is not let in any more", cure="sign in", code="revoked"
            )
        if said.get("ses") and self._principals.has_ended(said["ses"]):
            raise Refused("the session was ended", cure="sign in", code="revoked")
        return said, found

    def _signed(
        self, one: Principal, secret: Secret, use: str, ends: int, more: Mapping[str, str] | None = None
    ) -> str:
        now, server = int(self._clock.now()), self._principals.server
        said: dict[str, str | int] = {
            **{"iss": server, "aud": server, "tid": server, "use": use},
            **{"sub": one.id, "oid": one.id, "appid": one.id, "sid": secret.id},
            **{"iat": now, "nbf": now, "exp": ends, "ends": str(ends), **(more or {})},
        }
        return tokens.sign(said, self._principals.key)


def _within(session: str) -> Mapping[str, str]:
    return {"ses": session} if session else {}


def _matching(secrets: tuple[Secret, ...], text: str) -> Secret | None:
    """Return the secret that a text is; that takes as long if there is none."""
    if len(text) > SECRET_CHARACTERS_MAX:
        return None
    if not secrets:
        _digest(text, bytes(16))
    return next((one for one in secrets if hmac.compare_digest(_digest(text, one.salt), one.digest)), None)


def _digest(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(errors="replace"), salt=salt, **_SCRYPT)
