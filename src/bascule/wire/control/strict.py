"""JSON from somebody whom we do not trust: bounded before it is read, and of the shape that was asked for.

Refused are: too many bytes, nesting deeper than 16, a name given twice, NaN and infinities, numbers of
absurd length, and a field that is absent or of another type. Fields that nobody asked for are let be, so
that a newer peer may say more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from bascule.model.errors import Refused
from bascule.model.vault.commands import Json

DEPTH_MAX = 16
WHOLE_MAX = (1 << 53) - 1
# What may be nested, and the strings in which the same signs mean nothing. A string that does not end is one
# too: else each quote in it would be looked at to the end, which is a second for 16 KiB.
_SIGNS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def refuse(what: str) -> NoReturn:
    """Say that a message is not what it should be."""
    raise Refused(
        f"the message is malformed: {what}", cure="both sides should run current versions", code="malformed"
    )


def parsed(data: bytes, limit: int) -> Fields:
    """Return the object that ``data`` is, or raise Refused."""
    if len(data) > limit:
        raise Refused(f"the message has {len(data)} bytes, {limit} at most", code="too-large")
    depth = 0
    for found in _SIGNS.finditer(data):
        sign = found[0]
        depth += (sign in b"[{") - (sign in b"]}") if len(sign) == 1 else 0
        if depth > DEPTH_MAX:
            refuse(f"nested deeper than {DEPTH_MAX}")
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the message is no JSON: {error}", code="malformed") from error
    if not isinstance(document, dict):
        refuse("no object")
    return Fields(document)


def packed(document: Mapping[str, Any]) -> bytes:
    """Return a document as the shortest JSON."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


class Fields:
    """The fields of an object, each asked for by its type."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._found = document

    def has(self, name: str) -> bool:
        """Tell whether a field was said at all."""
        return name in self._found

    def text(self, name: str, limit: int = 200, *, default: str | None = None) -> str:
        """Return a text of so many characters at most."""
        value = self._found.get(name, default)
        if not isinstance(value, str) or len(value) > limit:
            refuse(f"{name} is to be a text of {limit} characters at most")
        return value

    def word(self, name: str, limit: int = 64) -> str:
        """Return a name: letters, digits, dots, dashes, and the tilde of a group's later generations."""
        value = self.text(name, limit)
        if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.~\-]*", value) is None:
            refuse(f"{name} is no name")
        return value

    def whole(self, name: str, *, default: int | None = None) -> int:
        """Return a whole number that is not negative."""
        value = self._found.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= WHOLE_MAX:
            refuse(f"{name} is to be a whole number")
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return a yes or a no."""
        value = self._found.get(name, default)
        if not isinstance(value, bool):
            refuse(f"{name} is to be true or false")
        return value

    def objects(self, name: str, limit: int) -> tuple[Fields, ...]:
        """Return a list of so many objects at most; one that is absent is empty."""
        value = self._found.get(name, [])
        if not isinstance(value, list) or len(value) > limit or not all(isinstance(o, dict) for o in value):
            refuse(f"{name} is to be a list of {limit} objects at most")
        return tuple(Fields(one) for one in value)

    def texts(self, name: str, limit: int) -> tuple[str, ...]:
        """Return a list of so many short texts at most; one that is absent is empty."""
        value = self._found.get(name, [])
        if not isinstance(value, list) or len(value) > limit:
            refuse(f"{name} is to be a list of {limit} texts at most")
        if not all(isinstance(one, str) and len(one) <= 4096 for one in value):
            refuse(f"{name} is to be a list of texts")
        return tuple(value)

    def mapping(self, name: str) -> Mapping[str, Json]:
        """Return an object whose fields are not ours to judge; one that is absent is empty."""
        value = self._found.get(name, {})
        if not isinstance(value, dict):
            refuse(f"{name} is to be an object")
        return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("a name is given twice")
    return found


def _no_number(word: str) -> NoReturn:
    refuse(f"{word} is no number")
