"""A protected item: what somebody wants of it, and what is so.

The wish is written by whoever commands and read by the provider; the facts the other way round. Both are
whole documents that are replaced. A wish has a generation, and facts name the one that they obey: who wants
to know whether a command was heard compares the two.

Where an item stands, what went wrong, and whether it is marked for resync are three things and not one.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from .errors import BasculeError, Damaged, Refused, Unavailable
from .policies import Policy

_VERSION = 1
_CLUSTER = re.compile(r"[A-Za-z0-9.-]*")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a replication group.

    ``machines`` are the words by which the host's machines are found. With a ``cluster`` the machine may run
    on another host of it, whose provider has a wish for the same group. ``resync`` counts how often somebody
    asked for one now; ``take_over`` is the session that somebody let us take the group back from. ``command``
    is the vault's command that changed this last, so that it is carried out once. ``called`` says of each of
    several machines what it is called in the store, empty if as its words end.
    """

    group: str
    machines: tuple[str, ...]
    store: str
    key_file: str = ""
    policy: Policy = field(default_factory=Policy)
    generation: int = 1
    is_paused: bool = False
    resync: int = 0
    hand_over: bool = False
    take_over: str = ""
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    cluster: str = ""
    command: str = ""
    called: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _CLUSTER.fullmatch(self.cluster):
            raise Refused(
                f"{self.cluster!r} is no name for a cluster", cure="use letters, digits, dots and dashes"
            )
        if self.cluster and len(self.machines) > 1:
            raise Refused(
                f"group {self.group} has several machines, and they could be on several hosts of a cluster",
                cure="protect each of them as a group of its own, or leave the cluster out",
            )

    def wants(self, machine: str, disk: str) -> bool:
        """Is a disk to be replicated? All are, or those named, but those left out (R-P-7).

        They are named as DISK or MACHINE/DISK.
        """
        names = {disk, f"{machine}/{disk}"}
        return not names & set(self.exclude) and bool(not self.include or names & set(self.include))


def name_of(machine: str) -> str:
    """Return the name in a machine's words: a socket's without its suffix, what follows ``#`` or ``:``."""
    _, is_of_host, name = machine.rpartition("#")
    if is_of_host:
        return name
    last = machine.partition("?")[0].rpartition("/")[2].rpartition(":")[2]
    return last.rpartition(".")[0] or last


class State(StrEnum):
    """Where an item stands."""

    WAITING = "waiting"
    SEEDING = "initial replication"
    REPLICATING = "replicating"
    RESYNCING = "resynchronising"
    OFF = "machine is off"
    ELSEWHERE = "on another host of its cluster"
    PAUSED = "paused"
    STOPPED = "stopped"
    FENCED = "fenced"
    HANDED_OVER = "handed over"


class Mark(StrEnum):
    """Why an item is marked for resync (R-R-2)."""

    TRACKING_LOST = "what changed was not recorded"
    TOO_MUCH = "changes have reached half of a disk"
    ASKED = "somebody asked for it"


@dataclass(frozen=True, slots=True)
class Headway:
    """How far the transfer under way is."""

    done_bytes: int
    total_bytes: int
    rate_bytes: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest point that this provider made."""

    number: int
    captured_at: float
    consistency: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong last and has not been mended. ``next_try_at`` is None for what waits for a person."""

    family: str
    code: str
    message: str
    cure: str
    first_at: float
    tries: int = 1
    next_try_at: float | None = None
    generation: int = 0

    @classmethod
    def of(cls, error: BasculeError, at: float, generation: int) -> Trouble:
        """Describe an error that has just come up."""
        family = "unavailable" if isinstance(error, Unavailable) else _family(error)
        return cls(family, error.code, error.message, error.cure, at, generation=generation)


def _family(error: BasculeError) -> str:
    return "damaged" if isinstance(error, Damaged) else "refused"


@dataclass(frozen=True, slots=True)
class DiskFact:
    """A disk of a machine, and whether it is replicated."""

    machine: str
    id: str
    size_bytes: int
    is_protected: bool = True


@dataclass(frozen=True, slots=True)
class Totals:
    """What was moved since the item was protected. ``resent_bytes`` were sent before, and lost (R-R-10)."""

    cycles: int = 0
    idle_cycles: int = 0
    read_bytes: int = 0
    sent_bytes: int = 0
    stored_bytes: int = 0
    resent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so.

    Two figures that are never mixed (R-R-6): ``safe_as_of`` is the moment up to which everything that the
    machine wrote is safe, and ``newest`` is the latest recovery point. ``only_crash`` is why the last point
    that was to be more than crash-consistent was not.
    """

    generation: int = 0
    state: State = State.WAITING
    since: float = 0.0
    seen_at: float = 0.0
    safe_as_of: float | None = None
    newest: Newest | None = None
    app_consistent_at: float | None = None
    consistent_tried_at: float | None = None
    only_crash: str = ""
    headway: Headway | None = None
    trouble: Trouble | None = None
    mark: Mark | None = None
    marked_at: float | None = None
    resynced: int = 0
    session: str = ""
    fenced_by: str = ""
    fenced_by_writer: str = ""
    cycle_seconds: float = 0.0
    totals: Totals = field(default_factory=Totals)
    disks: tuple[DiskFact, ...] = ()
    absent: tuple[str, ...] = ()
    room_bytes: int | None = None


def written(document: Wish | Facts) -> str:
    """Return a wish or facts as JSON."""
    return json.dumps({"version": _VERSION, **asdict(document)}, sort_keys=True, indent=1)


def wish_from(text: str | bytes) -> Wish:
    """Return the wish that ``written`` wrote, or raise Damaged."""
    return _read(text, Wish, {"policy": _policy}, "a wish")


def _policy(found: dict[str, Any]) -> Policy:
    return Policy(**{name: _value(None, value) for name, value in found.items()})


def facts_from(text: str | bytes) -> Facts:
    """Return the facts that ``written`` wrote, or raise Damaged."""
    parts: dict[str, Any] = {
        "state": State,
        "mark": Mark,
        "newest": lambda found: Newest(**found),
        "headway": lambda found: Headway(**found),
        "trouble": lambda found: Trouble(**found),
        "totals": lambda found: Totals(**found),
        "disks": lambda found: tuple(DiskFact(**disk) for disk in found),
    }
    return _read(text, Facts, parts, "the facts of an item")


def _read(text: str | bytes, kind: type[T], parts: dict[str, Any], what: str) -> T:
    try:
        found: Any = json.loads(text)
        if found["version"] != _VERSION:
            raise Damaged(f"{what} is of version {found['version']}, not {_VERSION}")
        known = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # both kinds are dataclasses
        values = {name: _value(parts.get(name), value) for name, value in found.items() if name in known}
        return kind(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"{what} cannot be read: {error!r}") from error


def _value(part: Any, value: Any) -> Any:
    if part is not None and value is not None:
        return part(value)
    return tuple(value) if isinstance(value, list) else value
