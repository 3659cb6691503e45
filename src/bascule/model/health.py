"""How well an item is, and why (R-OP-2): computed when somebody looks, so true of a dead provider too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from .items import Facts, State, Trouble, Wish

HEARTBEAT_SECONDS = 15 * 60
NO_POINT_SECONDS = 60 * 60
_ROOM_LEAST = 64 << 20


class Level(IntEnum):
    """The worst of its reasons is an item's health."""

    HEALTHY = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not well, and what to do about it. ``code`` is stable."""

    level: Level
    code: str
    message: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When the provider of a folder was last seen, None if it never ran, and whether it runs now."""

    seen_at: float | None
    is_running: bool


def rpo_seconds(facts: Facts, now: float) -> float | None:
    """Return the current RPO: the age of the newest data that is safe; None while nothing is."""
    return None if facts.safe_as_of is None else max(0.0, now - facts.safe_as_of)


def point_age_seconds(facts: Facts, now: float) -> float | None:
    """Return the age of the latest recovery point, None if there is none. It is not the RPO."""
    return None if facts.newest is None else max(0.0, now - facts.newest.captured_at)


def reasons(wish: Wish, facts: Facts, now: float, heartbeat: Heartbeat) -> list[Reason]:
    """Return what is not well with an item, the worst first."""
    found = [*_of_provider(heartbeat, now), *_of_item(wish, facts), *_of_time(wish, facts, now)]
    return sorted(found, key=lambda reason: -reason.level)


def level_of(found: list[Reason]) -> Level:
    """Return the health that reasons add up to."""
    return max((reason.level for reason in found), default=Level.HEALTHY)


def _of_provider(heartbeat: Heartbeat, now: float) -> Iterator[Reason]:
    if heartbeat.is_running:
        return
    silent = now - (heartbeat.seen_at or 0.0)
    level = Level.CRITICAL if silent >= HEARTBEAT_SECONDS else Level.WARNING
    since = "has never run" if heartbeat.seen_at is None else f"has not run for {round(silent)} s"
    yield Reason(level, "no-heartbeat", f"the provider {since}", "start it: `bascule provider run FOLDER`")


def _of_item(wish: Wish, facts: Facts) -> Iterator[Reason]:
    trouble = facts.trouble
    if facts.state is State.FENCED:
        yield Reason(
            Level.CRITICAL,
            "fenced",
            f"{facts.fenced_by_writer or 'somebody else'} took group {wish.group} over",
            "if that is past and this side is to replicate again:"
            f" `bascule resume {wish.group} --take-over`; or `bascule unprotect {wish.group}`",
        )
    elif trouble is not None:
        is_passing = trouble.next_try_at is not None
        level, cure = (Level.WARNING, trouble.cure) if is_passing else (Level.CRITICAL, _to_do(wish, trouble))
        yield Reason(level, trouble.code, trouble.message, cure)
    if facts.mark is not None:
        yield Reason(
            Level.CRITICAL,
            "marked-for-resync",
            f"resynchronisation is required: {facts.mark}",
            f"it begins in its hours ({wish.policy.resync_hours}); or now: `bascule resync {wish.group}`",
        )
    if facts.only_crash and wish.policy.app_consistent_seconds:
        yield Reason(
            Level.WARNING,
            "only-crash-consistent",
            f"the last point that was to be more is crash-consistent: {facts.only_crash}",
            "see that the guest's agent runs, and what the commands before and after the instant say",
        )
    if wish.is_paused:
        yield Reason(Level.WARNING, "paused", "replication is paused", f"`bascule resume {wish.group}`")
    if facts.absent:
        yield Reason(
            Level.WARNING, "machine-away", f"{', '.join(facts.absent)} is away, and stays what it was"
        )
    if facts.room_bytes is not None and facts.room_bytes < room_needed(facts):
        yield Reason(
            Level.WARNING,
            "low-room",
            f"{facts.room_bytes >> 20} MiB are free for what machines overwrite while their disks are copied",
            "make room on that file system; a fleece that is full costs a point, never the machine",
        )


def _to_do(wish: Wish, trouble: Trouble) -> str:
    """Return what an administrator must do about what does not pass by itself (R-R-3)."""
    again = f"`bascule resume {wish.group}` tries again"
    if "bascule resume" in trouble.cure:
        return trouble.cure
    return f"{trouble.cure or 'mend what the message names'}; then {again}"


def room_needed(facts: Facts) -> int:
    """Return how many bytes should be free for fleeces: a hundredth of the disks, and 64 MiB (R-P-3)."""
    return max(_ROOM_LEAST, sum(disk.size_bytes for disk in facts.disks if disk.is_protected) // 100)


def _of_time(wish: Wish, facts: Facts, now: float) -> Iterator[Reason]:
    rpo, age = rpo_seconds(facts, now), point_age_seconds(facts, now)
    if facts.state is State.ELSEWHERE:
        return  # the provider there says how old its points are
    threshold = wish.policy.rpo_threshold_seconds
    if rpo is not None and rpo > threshold:
        yield Reason(
            Level.WARNING, "rpo-over-threshold", f"the RPO is {round(rpo)} s, over the {threshold} s allowed"
        )
    if age is not None and age > NO_POINT_SECONDS and facts.state is not State.HANDED_OVER:
        yield Reason(Level.WARNING, "153007", f"no new recovery point for {round(age / 60)} min")
    app, every = facts.app_consistent_at, wish.policy.app_consistent_seconds
    if every and app is not None and now - app > max(NO_POINT_SECONDS, 2 * every):
        yield Reason(
            Level.WARNING,
            "153006",
            f"no file-system- or app-consistent point for {round((now - app) / 60)} min",
        )
