"""The messages between a host and the vault's door, and their versions.

Each says by which version it was written (``version``) and which one is enough to understand it
(``needs``). A reader refuses what needs more than it knows, and lets be what it does not know: so either
side may be renewed first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.model.items import Headway
from bascule.model.vault.commands import Command, Json, Report, Result

from .strict import Fields, packed, parsed, refuse

VERSION = 1
# Who has not shown a certificate may say this much; who has, that much.
STRANGER_BYTES = 16 << 10
GUEST_BYTES = 4 << 20
COMMANDS_MAX = 64
GROUPS_MAX = 4096
# What an errand may answer: a list of some hundred points. All of an exchange fit into what a guest may say.
VALUE_CHARACTERS = 32 << 10
# How many a host tells the headway of, in one report.
ERRANDS_MAX = 64


@dataclass(frozen=True, slots=True)
class Registration:
    """A host asks to be known. ``request`` is a certificate signing request for a key that the host made."""

    host: str
    name: str
    key: str
    secret: str = field(repr=False)
    request: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """A host asks for its next certificate. ``proof`` is the old key's signature; see ``renewal_words``."""

    certificate: str
    request: str
    proof: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A host says what became of commands, and asks for those after ``after``.

    The answer may take its time.
    """

    host: str
    after: int
    results: tuple[Result, ...] = ()


def written(message: Registration | Renewal | Exchange | Report) -> bytes:
    """Return what goes over the wire for a message."""
    if isinstance(message, Registration):
        return _packed(
            host=message.host,
            name=message.name,
            key=message.key,
            secret=message.secret,
            request=message.request,
        )
    if isinstance(message, Renewal):
        return _packed(certificate=message.certificate, request=message.request, proof=message.proof)
    if isinstance(message, Exchange):
        return _packed(
            host=message.host, after=message.after, results=[_result_document(r) for r in message.results]
        )
    rest: dict[str, Json] = {"gone": list(message.gone)} if message.gone else {}
    if message.machines is not None:
        rest["machines"] = list(message.machines)
        if disks := {name: said for name, said in message.machines.items() if said}:
            rest["disks"] = disks
    if message.errands:
        rest["errands"] = {id: _headway_document(headway) for id, headway in message.errands.items()}
    return _packed(
        host=message.host, number=message.number, since=message.since, groups=message.groups, **rest
    )


def commands_written(commands: tuple[Command, ...]) -> bytes:
    """Return the answer to an exchange."""
    return _packed(
        commands=[
            {"sequence": c.sequence, "id": c.id, "verb": c.verb, "group": c.group, "arguments": c.arguments}
            for c in commands
        ]
    )


def certificate_written(certificate: str) -> bytes:
    """Return the answer to a registration or a renewal."""
    return _packed(certificate=certificate)


def kept_written(number: int) -> bytes:
    """Return the answer to a report: the number of the last one that is kept, 0 to ask for everything."""
    return _packed(number=number)


def error_written(error: BasculeError) -> bytes:
    """Return an error as an answer."""
    family = "unavailable" if isinstance(error, Unavailable) else "refused"
    return _packed(error={"family": family, "code": error.code, "message": error.message, "cure": error.cure})


def registration_from(data: bytes) -> Registration:
    """Read a registration, or raise Refused."""
    found = _fields(data, STRANGER_BYTES)
    return Registration(
        found.word("host"),
        found.text("name", 253),
        found.word("key"),
        found.text("secret"),
        found.text("request", 8192),
    )


def renewal_from(data: bytes) -> Renewal:
    """Read a renewal, or raise Refused."""
    found = _fields(data, STRANGER_BYTES)
    return Renewal(found.text("certificate", 8192), found.text("request", 8192), found.text("proof", 1024))


def exchange_from(data: bytes) -> Exchange:
    """Read an exchange, or raise Refused."""
    found = _fields(data, GUEST_BYTES)
    results = tuple(_result(one) for one in found.objects("results", COMMANDS_MAX))
    return Exchange(found.word("host"), found.whole("after"), results)


def report_from(data: bytes) -> Report:
    """Read a report, or raise Refused."""
    found = _fields(data, GUEST_BYTES)
    groups = found.mapping("groups")
    if len(groups) > GROUPS_MAX:
        refuse(f"{len(groups)} groups, {GROUPS_MAX} at most")
    names = Fields({name: name for name in groups})
    checked = {names.word(name, 255): _object(fields) for name, fields in groups.items()}
    return Report(
        found.word("host"),
        found.whole("number"),
        found.whole("since"),
        checked,
        found.texts("gone", GROUPS_MAX),
        _machines(found) if found.has("machines") else None,
        _headways(found.mapping("errands")) if found.has("errands") else {},
    )


def _machines(found: Fields) -> Mapping[str, Json]:
    """Return the machines of a host, and of each what it says of its disks, which an older one does not."""
    disks = found.mapping("disks")
    return {name: disks.get(name, []) for name in found.texts("machines", GROUPS_MAX)}


def commands_from(data: bytes) -> tuple[Command, ...]:
    """Read the answer to an exchange, or raise Refused."""
    return tuple(
        Command(
            one.whole("sequence"),
            one.word("id"),
            one.word("verb"),
            one.text("group"),
            one.mapping("arguments"),
        )
        for one in _fields(data, GUEST_BYTES).objects("commands", COMMANDS_MAX)
    )


def certificate_from(data: bytes) -> str:
    """Read the answer to a registration or a renewal, or raise Refused."""
    return _fields(data, STRANGER_BYTES).text("certificate", 8192)


def kept_from(data: bytes) -> int:
    """Read the answer to a report, or raise Refused."""
    return _fields(data, STRANGER_BYTES).whole("number")


def error_from(data: bytes) -> BasculeError:
    """Read an error; what cannot be read is one."""
    found = Fields(_fields(data, STRANGER_BYTES).mapping("error"))
    families: dict[str, type[BasculeError]] = {"unavailable": Unavailable, "refused": Refused}
    kind = families.get(found.text("family"), Refused)
    return kind(
        found.text("message", 2000), cure=found.text("cure", 2000, default=""), code=found.text("code")
    )


def renewal_words(vault: str, host: str, serial: str, request: str) -> bytes:
    """Return what the old key signs, so that a proof serves this renewal and no other purpose."""
    return "\n".join(("bascule renewal 1", vault, host, serial, request)).encode()


def _headway_document(headway: Headway) -> Mapping[str, Json]:
    left = headway.seconds_left
    said = {"done": headway.done_bytes, "total": headway.total_bytes, "rate": round(headway.rate_bytes)}
    return {**said, **({} if left is None else {"left": round(left)})}


def _headways(found: Mapping[str, Json]) -> Mapping[str, Headway]:
    if len(found) > ERRANDS_MAX:
        refuse(f"{len(found)} errands, {ERRANDS_MAX} at most")
    names = Fields({name: name for name in found})
    return {names.word(name): _headway(Fields(_object(fields))) for name, fields in found.items()}


def _headway(found: Fields) -> Headway:
    left = float(found.whole("left")) if found.has("left") else None
    return Headway(found.whole("done"), found.whole("total"), float(found.whole("rate")), left)


def _result_document(result: Result) -> dict[str, Json]:
    found: dict[str, Json] = {"sequence": result.sequence, "id": result.id, "is_done": result.is_done}
    if result.is_done:
        return found | {"generation": result.generation} | ({"value": result.value} if result.value else {})
    passing = {"is_passing": True} if result.is_passing else {}
    return found | {"code": result.code, "message": result.message, "cure": result.cure} | passing


def _result(found: Fields) -> Result:
    return Result(
        found.whole("sequence"),
        found.word("id"),
        found.flag("is_done"),
        found.whole("generation", default=0),
        found.text("code", default=""),
        found.text("message", 2000, default=""),
        found.text("cure", 2000, default=""),
        found.text("value", VALUE_CHARACTERS, default=""),
        found.flag("is_passing", default=False),
    )


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        refuse("what is said of a group is to be an object")
    return value


def _packed(**fields: Any) -> bytes:
    return packed({"version": VERSION, "needs": 1, **fields})


def _fields(data: bytes, limit: int) -> Fields:
    found = parsed(data, limit)
    needs = found.whole("needs")
    if needs > VERSION:
        raise Refused(
            f"the message needs version {needs} of the protocol, this side knows {VERSION}",
            cure="bring this side up to the other's version",
            code="too-new",
        )
    return found
