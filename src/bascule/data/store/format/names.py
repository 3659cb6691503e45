"""Where each object of a store lives.

Log entries are numbered downwards, so that a listing shows the newest first. A
hundred share a folder, for stores that keep folders: there too the head of a log of
any length costs a short listing.
"""

from __future__ import annotations

import re

from bascule.model.errors import Refused

FORMAT = "format"
KEYS = "keys/"
POINTS = "points/"
SEGMENTS = "segments/"
PARTS = "parts/"
PINS = "pins/"
LOCKS = "locks/"
MOVED = "moved/"
UPKEEP = "upkeep/"
PROBES = "probes/"
RESERVE = "reserve/"

UPKEEP_GROUP = "~upkeep"
_TOP = 10**12 - 1
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,95}\Z")


def check_group(group: str) -> str:
    """Return ``group`` if it may name a replication group."""
    if not _GROUP.match(group) or ".." in group:
        raise Refused(
            f"{group!r} cannot name a replication group",
            cure="use letters, digits, '_', '-', '.' and '~', 96 at most, not starting with a sign",
        )
    return group


def _numbered(number: int) -> str:
    downwards = f"{_TOP - number:012d}"
    return f"{downwards[:-2]}/{downwards[-2:]}.{number}"


def number_of(name: str) -> int:
    """Return the entry number in the name of a log entry."""
    return int(name[name.rindex(".") + 1 :])


def log_prefix(group: str) -> str:
    """Return the prefix of a group's log; the upkeep log is a group to itself."""
    return UPKEEP if group == UPKEEP_GROUP else f"{POINTS}{group}/"


def entry(group: str, number: int) -> str:
    """Name entry ``number`` of a group's log."""
    return log_prefix(group) + _numbered(number)


def session_prefix(group: str, session: str) -> str:
    """Return the folder of a writer session's segments."""
    return f"{SEGMENTS}{group}/{session}/"


def segment(group: str, session: str, sequence: int) -> str:
    """Name a segment of a writer session."""
    return f"{session_prefix(group, session)}{sequence:08d}"


def split_segment(name: str) -> tuple[str, str, int]:
    """Return group, session and sequence of a segment's name."""
    _, group, session, sequence = name.split("/")
    return group, session, int(sequence)


def part(group: str, session: str, cut: int, machine_tag: str) -> str:
    """Name what one gateway adds to cut ``cut`` for one machine."""
    return f"{PARTS}{group}/{session}/{cut:012d}/{machine_tag}"


def pin(group: str, number: int, pin_id: str) -> str:
    """Name a reader's pin on a point; ``pin_id`` ends in ``-d`` when it never expires."""
    return f"{PINS}{group}/{number}/{pin_id}"


def lock(group: str, number: int, until: int, tag: str) -> str:
    """Name a lock that holds until ``until``, in whole seconds since 1970 of the store's time."""
    return f"{LOCKS}{group}/{number}/{until}-{tag}"


def reserve(number: int) -> str:
    """Name a piece of the room that is held in reserve."""
    return f"{RESERVE}{number:02d}"


def moved(name: str) -> str:
    """Name the table that says where the live frames of a compacted object went."""
    return MOVED + name
