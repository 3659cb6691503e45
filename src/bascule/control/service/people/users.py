"""The people of a server: a password each, sessions that end, and devices that they sign in for (R-OP-3).

Who is what in a vault is said by name, for people as for programs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from uuid import UUID

from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.principal import Device, Kind, Principal, Secret
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.devices import Devices
from bascule.ports.vault.principals import Principals

from ..gate import Call, Gate
from .attempts import Attempts
from .doorkeeper import SECRET_CHARACTERS_MAX, STRANGER, Doorkeeper, Session

PASSWORD_CHARACTERS_MIN = 12
DEVICE_SECONDS = 900
DEVICES_MAX = 500
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Letters that make no words and are not mistaken for one another: eight are one of 2.56e10."""
_PENDING = "authorization-pending"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A person, and the password that was drawn for them, which is told once."""

    person: Principal
    password: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that waits: what it alone knows, and what it shows to a person."""

    secret: str
    code: str
    lasts_seconds: int


class UserDesk:
    """The people of a server. Its owner makes and removes them, each changes the password of their own."""

    def __init__(
        self, gate: Gate, principals: Principals, devices: Devices, keeper: Doorkeeper, clock: Clock, ids: Ids
    ) -> None:
        self._gate = gate
        self._principals = principals
        self._devices = devices
        self._keeper = keeper
        self._clock = clock
        self._ids = ids
        self._asked = Attempts(clock)

    def list(self, caller: Caller) -> tuple[Principal, ...]:
        """Return all people, by name."""
        with self._gate.reading(Call(caller, "list-users", "", Right.OWN)):
            return self._all()

    def create(self, caller: Caller, name: str, password: str = "", *, is_owner: bool = False) -> Enrolled:
        """Make a person, with a password that is drawn unless it is given. Exists if the name is taken."""
        with self._gate.writing(Call(caller, "create-user", "", Right.OWN, name)):
            text, secret = self._made(name, password)
            id = str(UUID(bytes=self._ids.random(16), version=4))
            person = Principal(id, name, is_owner, (secret,), Kind.PERSON)
            self._principals.add(person)
        return Enrolled(person, text)

    def reset(self, caller: Caller, name: str, password: str = "") -> Enrolled:
        """Give a person another password: the old one holds no more, nor what was got by it, nor a lock."""
        with self._gate.writing(Call(caller, "reset-password", "", Right.OWN, name)):
            found = self._get(name)
            text, secret = self._made(found.name, password)
            after = replace(found, secrets=(secret,))
            self._principals.put(after)
            self._keeper.unlock(after)
        return Enrolled(after, text)

    def unlock(self, caller: Caller, name: str) -> Principal:
        """Let a person try again who was wrong too often."""
        with self._gate.writing(Call(caller, "unlock-user", "", Right.OWN, name)):
            found = self._get(name)
            self._keeper.unlock(found)
        return found

    def change(self, caller: Caller, password: str, new: str) -> Principal:
        """Change the password of one's own, by the one that holds; what was got by that one ends with it."""
        found = self._get(caller.name)
        self._keeper.check(found, Kind.PERSON, password, "change-password")
        if new == password:
            raise Refused("that is the password that you have", cure="choose another", code="bad-password")
        with self._gate.writing(Call(caller, "change-password", "", Right.READ, found.name), is_own=True):
            _, secret = self._made(found.name, new)
            after = replace(found, secrets=(secret,))
            self._principals.put(after)
        return after

    def remove(self, caller: Caller, name: str) -> None:
        """Remove a person with all roles."""
        with self._gate.writing(Call(caller, "remove-user", "", Right.OWN, name)) as books:
            found = self._get(name)
            for vault in books.vaults.list(found.name):
                books.assignments.remove(vault.name, found.name)
            self._principals.remove(found.id)

    def sign_in(self, name: str, password: str, client: str) -> Session:
        """Return a session for a person who has the password."""
        found = self._named(name)
        known = self._keeper.check(found, Kind.PERSON, password)
        return self._keeper.session(self._get(name), known, client)

    def renewed(self, refresh: str, client: str) -> Session:
        """Go on with a session."""
        return self._keeper.renewed(refresh, client)

    def sign_out(self, token: str) -> None:
        """End the session that something was got in."""
        self._keeper.end(token)

    def wait(self) -> Waiting:
        """Let a device wait for a person, who types the code that it shows."""
        call = Call(STRANGER, "begin-device", "", Right.READ)
        secret = self._ids.random(32).hex()
        code = "".join(_LETTERS[number % len(_LETTERS)] for number in self._ids.random(8))
        now = self._clock.now()
        try:
            self._asked.begin("devices")
            self._devices.add(Device(_known(secret), code, now + DEVICE_SECONDS), DEVICES_MAX, now)
        except Refused as error:
            self._gate.refused(call, error)
            raise
        self._gate.seen(call)
        return Waiting(secret, f"{code[:4]}-{code[4:]}", DEVICE_SECONDS)

    def agree(self, code: str, name: str, password: str) -> None:
        """Sign in for a device that shows a code."""
        found = self._named(name)
        known = self._keeper.check(found, Kind.PERSON, password, "agree-to-device")
        words = "".join(one for one in code.upper() if one in _LETTERS)[:8]
        self._devices.agree(words, self._get(name).id, known.id, self._clock.now())

    def arrived(self, secret: str, client: str) -> Session:
        """Return the session that somebody agreed to, once; Refused by a code of its own until then."""
        device = self._devices.get(_known(secret))
        if device.expires_at <= self._clock.now():
            raise Refused("nobody has agreed in time", cure="start anew", code="expired-device")
        if not device.person:
            raise Refused("nobody has agreed yet", cure="ask again in some seconds", code=_PENDING)
        person = self._keeper.found(device.person)
        secrets: tuple[Secret, ...] = person.secrets if person else ()
        known = next((one for one in secrets if one.id == device.secret), None)
        self._devices.remove(device.id)
        if person is None or known is None:
            raise Refused("who agreed is not let in any more", cure="start anew", code="revoked")
        self._gate.seen(Call(Caller(person.name), "sign-in-device", "", Right.READ))
        return self._keeper.session(person, known, client)

    def _all(self) -> tuple[Principal, ...]:
        return tuple(one for one in self._principals.all() if one.kind is Kind.PERSON)

    def _named(self, name: str) -> Principal | None:
        return next((one for one in self._all() if one.name.casefold() == name.casefold()), None)

    def _get(self, name: str) -> Principal:
        found = self._named(name)
        if found is None:
            raise Missing(f"there is no user {name[:64]}", cure="`list` names them")
        return found

    def _made(self, name: str, password: str) -> tuple[str, Secret]:
        is_good = PASSWORD_CHARACTERS_MIN <= len(password) <= SECRET_CHARACTERS_MAX
        if password and (not is_good or name.casefold() in password.casefold()):
            raise Refused(
                "that is no good password",
                cure=f"choose {PASSWORD_CHARACTERS_MIN} characters or more, without the name in them",
                code="bad-password",
            )
        return self._keeper.made_secret(password)


def _known(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
