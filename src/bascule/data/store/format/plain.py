"""The only bytes of a store that are read without a seal: the object ``format``, and key objects.

Anybody who can write to the bucket may have written them, so nothing in them is
believed before it is checked, and they take no more memory than they may.
"""

from __future__ import annotations

import json
from typing import Any

from bascule.model.errors import Damaged, Missing, Refused
from bascule.ports.objects import ObjectStore

from . import names

FORMAT_VERSION = 1
PLAIN_MAX = 64 << 10
_WHAT = "bascule"


def read_plain(objects: ObjectStore, name: str) -> bytes:
    """Return a plain-text object, or raise Damaged if it is longer than any is."""
    buffer = bytearray(PLAIN_MAX + 1)
    length = objects.read(name, 0, memoryview(buffer))
    if length > PLAIN_MAX:
        raise Damaged(f"object {name} is longer than {PLAIN_MAX} bytes")
    return bytes(buffer[:length])


def fields_of(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object, or raise Damaged."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{what} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise Damaged(f"{what} cannot be read: it is not a JSON object")
    return fields


def field(fields: dict[str, Any], name: str, kind: type, what: str) -> Any:
    """Return a field of a type, or raise Damaged; a whole number passes for a number."""
    value = fields.get(name)
    fits = isinstance(value, int | float if kind is float else kind) and not isinstance(value, bool)
    if not fits:
        raise Damaged(f"{what} cannot be read: its field {name!r} is missing or of the wrong type")
    return value


def hex_field(fields: dict[str, Any], name: str, length: int, what: str) -> bytes:
    """Return a field of so many bytes in hexadecimal, or raise Damaged."""
    try:
        value = bytes.fromhex(field(fields, name, str, what))
    except ValueError as error:
        raise Damaged(f"{what} cannot be read: its field {name!r} is not hexadecimal") from error
    if len(value) != length:
        raise Damaged(f"{what} cannot be read: its field {name!r} has {len(value)} bytes, not {length}")
    return value


def format_text(vault: bytes, created_at: float) -> bytes:
    """Return the object ``format`` of a new vault."""
    text = {"format": _WHAT, "version": FORMAT_VERSION, "vault": vault.hex(), "created_at": created_at}
    return json.dumps(text, indent=1).encode()


def read_format(objects: ObjectStore) -> bytes:
    """Return the vault's id, having checked that this is a vault of a format we read."""
    try:
        data = read_plain(objects, names.FORMAT)
    except Missing as error:
        raise Missing(
            "there is no Bascule vault in this store",
            cure="make one with `bascule store init`",
            code="no-vault",
        ) from error
    what = f"object {names.FORMAT}"
    fields = fields_of(data, what)
    if fields.get("format") != _WHAT:
        raise Damaged(f"{what} does not say that this is a Bascule vault")
    version = field(fields, "version", int, what)
    if version != FORMAT_VERSION:
        raise Refused(
            f"this vault has format {version}; this Bascule reads format {FORMAT_VERSION}",
            cure="use a newer Bascule",
        )
    return hex_field(fields, "vault", 16, what)
