"""What a request asks, read strictly: names, parameters and bodies are bounded before anybody uses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from bascule.control.service.people.identity import IdentityDesk
from bascule.control.service.people.users import UserDesk
from bascule.control.service.service import Service
from bascule.model.vault.access import Caller

from .errors import TurnedAway
from .kept import Kept

if TYPE_CHECKING:
    from .nouns.machines.items import Around

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

BODY_MAX = 1 << 20
DEPTH_MAX = 32
NAME_MAX = 256
# Ten thousand items with something wrong with each are 30 MB of pages, and 50 MB of pieces with their keys.
_PAGES_BYTES = 64 << 20
_PIECES_BYTES = 64 << 20
_AROUND_BYTES = 32 << 20
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z]{1,16})?")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Desks:
    """What stands behind the door, and what was said there before: pages, and what they were made of."""

    service: Service
    identity: IdentityDesk
    users: UserDesk
    pages: Kept[bytes] = field(default_factory=lambda: Kept(_PAGES_BYTES, len))
    pieces: Kept[bytes] = field(default_factory=lambda: Kept(_PIECES_BYTES, len))
    around: Kept[Around] = field(default_factory=lambda: Kept(_AROUND_BYTES, lambda one: one.weight()))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of somebody who is known. ``base`` is where they found us, without a slash at its end."""

    desks: Desks
    caller: Caller
    base: str
    path: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Json]

    @property
    def service(self) -> Service:
        """Return the desks of the vaults."""
        return self.desks.service

    @property
    def version(self) -> str:
        """Return the api-version that was asked with."""
        return self.query["api-version"]

    @property
    def vault(self) -> str:
        """Return the vault's name."""
        return self.names["vault"]

    @property
    def home(self) -> str:
        """Return the id of the vault that the path names, in the words of the path."""
        group = f"/subscriptions/{self.names['subscription']}/resourceGroups/{self.names['group']}"
        return f"{group}/providers/Microsoft.RecoveryServices/vaults/{self.vault}"

    def text(self, *way: str, default: str = "") -> str:
        """Return a text of the body, found by the way to it."""
        found = self._value(way)
        if found is None:
            return default
        if not isinstance(found, str):
            bad_body(f"{'.'.join(way)} is no text")
        return found

    def number(self, *way: str, default: int) -> int:
        """Return a whole number of the body; a text of digits is one."""
        found = self._value(way)
        if found is None or found == "":
            return default
        if isinstance(found, str) and re.fullmatch(r"\d{1,9}", found):
            return int(found)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 10**9:
            bad_body(f"{'.'.join(way)} is no whole number")
        return found

    def texts(self, *way: str) -> tuple[str, ...]:
        """Return a list of texts of the body; nothing is an empty one."""
        found = self._value(way)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            bad_body(f"{'.'.join(way)} is no list of texts")
        return tuple(found)

    def each(self, *way: str) -> tuple[Ask, ...]:
        """Return the objects of a list of the body, each to be asked as if it were the body."""
        found = self._value(way)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            bad_body(f"{'.'.join(way)} is no list of objects")
        return tuple(replace(self, body=one) for one in found if isinstance(one, Mapping))

    def flag(self, *way: str) -> bool:
        """Return a yes or no of the body, also as a text; nothing is no."""
        found = self._value(way)
        if isinstance(found, str) and found.casefold() in ("true", "false"):
            return found.casefold() == "true"
        if found is not None and not isinstance(found, bool):
            bad_body(f"{'.'.join(way)} is neither true nor false")
        return bool(found)

    def has(self, *way: str) -> bool:
        """Does the body say something there?"""
        return self._value(way) is not None

    def value(self, *way: str) -> Json:
        """Return whatever the body says there."""
        return self._value(way)

    def _value(self, way: tuple[str, ...]) -> Json:
        found: Json = self.body
        for step, word in enumerate(way):
            if found is None:
                return None
            if not isinstance(found, Mapping):
                bad_body(f"{'.'.join(way[:step]) or 'the body'} is no object")
            found = found.get(word)
        return found


def query_of(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return the parameters of a request: their names in lower case, each once, with an api-version."""
    said: dict[str, str] = {}
    for name, value in pairs:
        if name.casefold() in said:
            raise TurnedAway(f"{name[:NAME_MAX]} is said twice", cure="say it once")
        said[name.casefold()] = value
    version = said.get("api-version", "")
    if not version:
        raise TurnedAway("no api-version is named", cure="add ?api-version=2025-08-01", code="no-api-version")
    if not _DATED.fullmatch(version):
        raise TurnedAway(
            f"{version[:40]!r} is no api-version", cure="name a date, as 2025-08-01", code="bad-api-version"
        )
    return said


def check_names(names: Mapping[str, str]) -> None:
    """Refuse names that cannot be any."""
    for what, name in names.items():
        if len(name) > NAME_MAX or _CONTROLS.search(name):
            raise TurnedAway(f"{name[:40]!r} cannot be the name of a {what}", cure="look at the path")


def body_of(data: bytes) -> Mapping[str, Json]:
    """Return the object that a body is; nothing is an empty one."""
    if not data.strip():
        return {}
    try:
        found = json.loads(data, parse_constant=bad_body)
    except (ValueError, RecursionError) as error:
        raise TurnedAway("the body is no JSON", cure=f"send JSON: {error}"[:200], code="bad-body") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        bad_body("the body is no object")
    _check_depth(found)
    return found


def bad_body(why: str) -> NoReturn:
    """Refuse a body."""
    raise TurnedAway(why[:300], cure="send what the SDK would", code="bad-body")


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    bad_body(f"the body has more than {DEPTH_MAX} levels")


def _inside(value: Json) -> Iterator[Json]:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            bad_body("a text of the body has half a character")
        if "\x00" in value:
            bad_body("a text of the body has a zero in it")
    elif isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, Sequence):
        yield from value
