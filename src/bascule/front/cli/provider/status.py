"""``bascule status``: how it stands with what is protected."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bascule.front.cli.printing.screen import Document, Screen, say
from bascule.front.cli.printing.tables import table
from bascule.front.cli.stopping import on_stop
from bascule.front.cli.tools import Tools
from bascule.front.cli.words.options import Json, tools_of
from bascule.front.cli.words.quantities import bytes_text, moment_iso, moment_text, seconds_text
from bascule.model.health import (
    Heartbeat,
    Level,
    Reason,
    level_of,
    point_age_seconds,
    reasons,
    rpo_seconds,
)
from bascule.model.items import Facts, Wish

from .naming import FolderPath, provider_of

if TYPE_CHECKING:
    from bascule.replication.provider.caretaker import Tended

_WATCH_SECONDS = 1.0
_HEAD = ("GROUP", "HEALTH", "STATE", "RPO>", "LATEST POINT", "AGE>", "EVERY>", "AT REST>", "DISKS>")


class Look(NamedTuple):
    """An item as it was found."""

    wish: Wish
    facts: Facts
    now: float
    reasons: list[Reason]


def status(
    context: typer.Context,
    *,
    group: Annotated[
        str, typer.Argument(metavar="[GROUP]", help="Only this group.", show_default=False)
    ] = "",
    folder: FolderPath = None,
    events: Annotated[bool, typer.Option("--events", help="Show what happened to the group.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    is_json: Json = False,
) -> None:
    """Show how well each protected group is, how far it is, and how old what is safe of it is.

    RPO is the age of the newest data that is safe in the store; the age of the latest point is another
    figure: of a machine that writes nothing the first stays small while the second grows.

    \b
    Examples:
      bascule status --folder /srv/provider
      bascule status web --folder /srv/provider --json
      bascule status web --folder /srv/provider --events
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    if events:
        _show_events(tools, screen, folder, group)
        return
    if not watch:
        looks, beat, upkeep = _looks(tools, folder, group)
        screen.show(_document(looks, beat, upkeep), _lines(looks))
        return
    stop = threading.Event()
    with on_stop(stop.set):
        while True:
            looks, beat, upkeep = _looks(tools, folder, group)
            if not is_json and sys.stdout.isatty():
                say("\x1b[H\x1b[2J")
            screen.event("status", _document(looks, beat, upkeep), _lines(looks))
            if stop.wait(_WATCH_SECONDS):
                return


def _looks(tools: Tools, folder: Path | None, group: str) -> tuple[list[Look], Heartbeat, list[Tended]]:
    from bascule.replication.provider.caretaker import tended

    provider = provider_of(tools, folder)
    items = [provider.existing(group)] if group else provider.items()
    beat, now = provider.heartbeat(), tools.clock.now()
    looks = []
    for item in items:
        wish, facts = item.wish(), item.facts()
        if wish is not None:
            looks.append(Look(wish, facts, now, reasons(wish, facts, now, beat)))
    return looks, beat, tended(provider.path / "upkeep.json")


def _document(looks: list[Look], beat: Heartbeat, upkeep: list[Tended]) -> Document:
    return {
        "provider": {
            "is_running": beat.is_running,
            "seen_at": None if beat.seen_at is None else moment_iso(beat.seen_at),
        },
        "upkeep": [asdict(one) for one in upkeep],
        "groups": [_item_document(look) for look in looks],
    }


def _item_document(look: Look) -> Document:
    wish, facts, now, found = look
    newest, trouble, headway = facts.newest, facts.trouble, facts.headway
    return {
        "group": wish.group,
        "machines": list(wish.machines),
        "store": wish.store,
        "interval_seconds": wish.policy.interval_seconds,
        "generation": wish.generation,
        "obeyed_generation": facts.generation,
        "state": str(facts.state),
        "since": moment_iso(facts.since),
        "health": level_of(found).name.lower(),
        "reasons": [
            {"level": one.level.name.lower(), "code": one.code, "message": one.message, "cure": one.cure}
            for one in found
        ],
        "rpo_seconds": _rounded(rpo_seconds(facts, now)),
        "latest_point": newest
        and {
            "number": newest.number,
            "captured_at": moment_iso(newest.captured_at),
            "consistency": newest.consistency,
        },
        "consistent_every_seconds": wish.policy.app_consistent_seconds,
        "latest_consistent_at": facts.app_consistent_at and moment_iso(facts.app_consistent_at),
        "latest_point_age_seconds": _rounded(point_age_seconds(facts, now)),
        "progress": headway
        and {
            "done_bytes": headway.done_bytes,
            "total_bytes": headway.total_bytes,
            "rate_bytes": round(headway.rate_bytes),
            "seconds_left": _rounded(headway.seconds_left),
        },
        "error": trouble
        and {
            "family": trouble.family,
            "code": trouble.code,
            "message": trouble.message,
            "cure": trouble.cure,
            "tries": trouble.tries,
            "next_try_at": None if trouble.next_try_at is None else moment_iso(trouble.next_try_at),
        },
        "marked_for_resync": facts.mark and str(facts.mark),
        "fenced_by": facts.fenced_by_writer or None,
        "absent_machines": list(facts.absent),
        "room_bytes": facts.room_bytes,
        "read_bytes": facts.totals.read_bytes,
        "sent_bytes": facts.totals.sent_bytes,
        "stored_bytes": facts.totals.stored_bytes,
        "resent_bytes": facts.totals.resent_bytes,
        "cycles": facts.totals.cycles,
        "idle_cycles": facts.totals.idle_cycles,
        "disks": [
            {"machine": d.machine, "id": d.id, "size_bytes": d.size_bytes, "is_protected": d.is_protected}
            for d in facts.disks
        ],
    }


def _lines(looks: list[Look]) -> Iterator[str]:
    if not looks:
        yield "Nothing is protected here; `bascule protect` begins."
        return
    yield from table(_HEAD, [_row(look) for look in looks])
    for look in looks:
        trouble = look.facts.trouble
        for reason in look.reasons:
            yield f"{look.wish.group}: {reason.level.name.lower()}: {reason.message}"
            if reason.cure:
                yield f"    what to do: {reason.cure}"
        if trouble is not None and trouble.next_try_at is not None:
            yield f"    tried {trouble.tries} times; next at {moment_text(trouble.next_try_at)}"


def _row(look: Look) -> tuple[str, ...]:
    wish, facts, now, found = look
    rpo, age = rpo_seconds(facts, now), point_age_seconds(facts, now)
    protected = sum(disk.is_protected for disk in facts.disks)
    return (
        wish.group,
        level_of(found).name.lower() if found else Level.HEALTHY.name.lower(),
        _state(facts),
        "-" if rpo is None else seconds_text(rpo),
        "-" if facts.newest is None else f"{wish.group}/{facts.newest.number}",
        "-" if age is None else seconds_text(age),
        seconds_text(wish.policy.interval_seconds),
        _at_rest(look),
        f"{protected} of {len(facts.disks)}" if facts.disks else "-",
    )


def _at_rest(look: Look) -> str:
    """R-RP-1: say how long ago a point found the guests at rest; a hyphen where nobody asks for that."""
    at = look.facts.app_consistent_at
    if not look.wish.policy.app_consistent_seconds:
        return "-"
    return "never" if at is None else seconds_text(max(0.0, look.now - at))


def _state(facts: Facts) -> str:
    """R-P-3: what is under way, how far it is and how long it still needs."""
    if facts.headway is None or not facts.headway.total_bytes:
        return str(facts.state)
    part = facts.headway.done_bytes / facts.headway.total_bytes
    left = facts.headway.seconds_left
    rest = "" if left is None else f", {seconds_text(left)} left"
    return f"{facts.state}: {part:.0%} of {bytes_text(facts.headway.total_bytes)}{rest}"


def _show_events(tools: Tools, screen: Screen, folder: Path | None, group: str) -> None:
    provider = provider_of(tools, folder)
    items = [provider.existing(group)] if group else provider.items()
    found = sorted(
        ({"group": item.group, **event} for item in items for event in item.events()),
        key=lambda event: float(event["at"]),
    )
    lines = [
        f"{moment_text(float(one['at']))}  {one['group']}  {one['severity']}  {one['event']}"
        f"  {one.get('message') or one.get('state') or ''}".rstrip()
        for one in found
    ]
    screen.show({"events": found}, lines)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
