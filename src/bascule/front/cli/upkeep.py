"""``bascule store verify`` and ``bascule store sweep``: a store kept sound and small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.model.errors import Damaged, Refused

from .printing.screen import Observer, Screen
from .words.options import Json, KeyFilePath, PassphrasePath, Store, tools_of
from .words.quantities import bytes_text
from .words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.store import Vault
    from bascule.data.store.upkeep.compaction import CompactReport
    from bascule.data.store.upkeep.sweep import SweepReport
    from bascule.data.store.upkeep.verify import Finding, Verified
    from bascule.ports.chance import Clock


def verify(
    context: typer.Context,
    store: Store,
    full: Annotated[
        bool, typer.Option("--full", help="Also read every byte that a point shows, and compare its digest.")
    ] = False,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Check a store against itself, and say whom a loss hurts.

    Without --full the structure is checked: logs, maps, and that no object is lost or cut short.
    Exit code 4 means that something is damaged.

    \b
    Examples:
      bascule store verify /srv/points
      bascule store verify /srv/points --full --json
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    with opened(tools, store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        _check(vault, screen, tools.clock, full)


def sweep(
    context: typer.Context,
    *,
    store: Store,
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            metavar="LADDER",
            help="First thin points by age: AGE:INTERVAL,… such as 2h:all,24h:1h,30d:1d.",
            show_default=False,
        ),
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="GROUP", help="Thin only this group; may be repeated.", show_default=False
        ),
    ] = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Remove what no point needs any more, and give its space back.

    With --keep points are thinned first: up to each age one point per interval stays; what is older
    than the last age goes. The newest point of a group and locked points always stay. Copies and
    restores may go on meanwhile.

    \b
    Examples:
      bascule store sweep /srv/points
      bascule store sweep /srv/points --keep 2h:all,24h:1h,30d:1d
    """
    from bascule.model.retention import Ladder

    tools, screen = tools_of(context), Screen(is_json=is_json)
    ladder = Ladder.parse(keep) if keep else None
    if group and ladder is None:
        raise Refused("--group says what to thin, and nothing says how", cure="add --keep LADDER")
    with opened(tools, store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        groups = (group or vault.groups()) if ladder else []
        with vault.upkeep(writer=tools.who) as upkeep:
            thinned = {name: upkeep.thin(name, ladder) for name in groups if ladder}
            swept, compacted = upkeep.sweep(), upkeep.compact()
        vault.keep_reserve()
    _tell_swept(screen, thinned, swept, compacted)


def _check(vault: Vault, screen: Screen, clock: Clock, full: bool) -> None:
    """Print findings as they come, then what was looked at; raise Damaged if there were any."""
    from bascule.data.store.upkeep.verify import Verifier

    count = 0
    with screen.progress("verify") as observer:
        verifier = Verifier(vault.access, _gauge(observer, clock))
        for finding in verifier.run(full=full):
            count += 1
            screen.event("finding", _finding_document(finding), _finding_lines(finding))
    seen = verifier.seen
    figures = {
        "full": full,
        "points": seen.points,
        "objects": seen.objects_total,
        "read_bytes": seen.bytes,
        "live_bytes": seen.bytes_total,
        "findings": count,
    }
    read = f", {bytes_text(seen.bytes)} read and compared" if full else ", structure only (--full reads all)"
    looked = f"{seen.points} points in {seen.objects_total} objects{read}"
    screen.event("verified", figures, [f"{looked}: {'all well' if not count else f'{count} findings'}."])
    if count:
        raise Damaged(
            f"the store is damaged: {count} findings", cure="keep it as it is, and copy anew elsewhere"
        )


def _gauge(observer: Observer, clock: Clock) -> Callable[[Verified], None]:
    """Turn what a verification has looked at into progress in bytes."""
    from bascule.data.pipeline.flow.progress import Meter

    meter = Meter(clock, observer)
    total = done = 0

    def look(seen: Verified) -> None:
        nonlocal total, done
        meter.expect(seen.bytes_total - total)
        meter.add(seen.bytes - done)
        total, done = seen.bytes_total, seen.bytes

    return look


def _finding_document(finding: Finding) -> dict[str, object]:
    return {
        "what": finding.what,
        "group": finding.group or None,
        "point": finding.point,
        "machine": finding.disk.machine if finding.disk else None,
        "disk": finding.disk.disk if finding.disk else None,
        "ranges": [{"offset": hurt.offset, "length": hurt.length} for hurt in finding.ranges],
    }


def _finding_lines(finding: Finding) -> Iterator[str]:
    if finding.disk is None:
        yield f"damaged: {finding.what}"
        return
    hurt = sum(extent.length for extent in finding.ranges)
    places = ", ".join(f"{extent.offset} to {extent.end}" for extent in finding.ranges[:3])
    more = f" and {len(finding.ranges) - 3} ranges more" if len(finding.ranges) > 3 else ""
    disk = f"disk {finding.disk.disk} of machine {finding.disk.machine}"
    point = f"{finding.group}/{finding.point}"
    yield f"damaged: {point}, {disk}: {finding.what}: {bytes_text(hurt)}, {places}{more}"


def _tell_swept(
    screen: Screen, thinned: Mapping[str, list[int]], swept: SweepReport, compacted: CompactReport
) -> None:
    damaged = sorted({*swept.lost, *compacted.damaged})
    document = {
        "removed_points": {group: numbers for group, numbers in thinned.items() if numbers},
        "deleted_objects": swept.objects,
        "deleted_bytes": swept.bytes,
        "expired_pins": swept.holds_expired,
        "compacted_objects": compacted.objects,
        "moved_bytes": compacted.bytes_moved,
        "live_bytes": swept.live_bytes,
        "damaged_objects": damaged,
    }
    points = sum(map(len, thinned.values()))
    lines = [
        f"Removed {points} points and {swept.objects} objects of {bytes_text(swept.bytes)};"
        f" compacted {compacted.objects} objects, moving {bytes_text(compacted.bytes_moved)}."
        f" {bytes_text(swept.live_bytes)} are in use."
    ]
    screen.show(document, lines)
    if damaged:
        raise Damaged(
            f"{len(damaged)} objects that points need are lost or damaged",
            cure="`bascule store verify` says which points and ranges they hurt",
        )
