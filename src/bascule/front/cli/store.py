"""``bascule store``: make a store, look into it, check it, keep it small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.model.errors import Missing, Refused

from .printing.documents import changed_of, keys_document, point_document, size_of
from .printing.screen import Screen
from .printing.tables import pairs, table
from .upkeep import sweep, verify
from .words.naming import PointName
from .words.options import Json, KeyFilePath, PassphrasePath, Point, Store, tools_of
from .words.quantities import bytes_text, moment_from, moment_iso, moment_text, seconds_from
from .words.unlocking import KeyOptions, asked, given, opened

if TYPE_CHECKING:
    from bascule.data.store import PointInfo, Vault

app = typer.Typer(
    name="store",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make a store for points, look into it, check it.",
)


@app.command()
def init(
    context: typer.Context,
    store: Store,
    label: Annotated[
        str,
        typer.Option("--label", help="What the list of keys shows for the first key.", show_default=False),
    ] = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Make an empty store, which the key you name can open.

    Everything in it is sealed; without a key it is lost. A folder is made if it is not there; buckets and
    containers must exist, and credentials for them come from the environment.

    \b
    Examples:
      bascule key create main.key
      bascule store init /srv/points --key-file main.key
      bascule store init s3://backup/points --key-file main.key
      bascule store init /srv/points           # asks for a passphrase
    """
    from bascule.data.store import Vault

    tools = tools_of(context)
    unlocker = given(tools.settings, KeyOptions(key_file, passphrase_file)) or asked("Passphrase", twice=True)
    with closing(tools.open_store(store, create=True)) as objects:
        vault = Vault.init(objects, unlocker, ids=tools.ids, clock=tools.clock, label=label)
        vault.keep_reserve()
        Screen(is_json=is_json).show(
            {"store": store, "vault": vault.id, "keys": keys_document(vault.keys())},
            [f"Made vault {vault.id} in {store}. A {unlocker.kind} key opens it."],
        )


@app.command("ls")
def list_points(
    context: typer.Context,
    store: Store,
    group: Annotated[
        str, typer.Argument(metavar="[GROUP]", help="List the points of this group.", show_default=False)
    ] = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """List the groups of a store, or the points of a group.

    Points keep their numbers. A number that is not listed is a point that was thinned out, or the entry by
    which a copy took the group over from the one before.

    \b
    Examples:
      bascule store ls /srv/points
      bascule store ls /srv/points web --json
    """
    with opened(tools_of(context), store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        screen = Screen(is_json=is_json)
        if not group:
            newest = [(name, _newest(vault, name)) for name in vault.groups()]
            document = [{"group": name, "newest": point and point_document(point)} for name, point in newest]
            screen.show({"groups": document}, _group_lines(newest))
            return
        points = vault.points(group)
        screen.show(
            {"group": group, "points": [point_document(point) for point in points]}, _point_lines(points)
        )


@app.command()
def show(
    context: typer.Context,
    store: Store,
    point: Annotated[
        str,
        typer.Argument(metavar="[POINT]", help="GROUP, GROUP/NUMBER or GROUP/latest.", show_default=False),
    ] = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Show a store and its keys, or a point with its machines and disks.

    \b
    Examples:
      bascule store show /srv/points
      bascule store show /srv/points web/12
    """
    with opened(tools_of(context), store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        screen = Screen(is_json=is_json)
        if not point:
            _show_store(screen, store, vault)
            return
        name = PointName.parse(point)
        with name.sought(), vault.peek(*name) as reader:
            found = replace(reader.info, locked_until=_lock_of(vault, reader.info))
    screen.show(point_document(found), _point_detail(found))


@app.command()
def lock(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="Such as 2030-01-31.", show_default=False)
    ] = "",
    span: Annotated[
        str,
        typer.Option("--for", metavar="SPAN", help="Such as 12h, 30d or 8w from now.", show_default=False),
    ] = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Keep a point until a date: nothing removes it before.

    A lock binds Bascule. Against somebody who may delete objects only the bucket's own immutability helps.

    \b
    Examples:
      bascule store lock /srv/points web/12 --until 2030-01-31
      bascule store lock /srv/points web --for 30d
    """
    tools, name = tools_of(context), PointName.parse(point)
    if bool(until) == bool(span):
        raise Refused("the lock has no end, or two", cure="name one: --until DATE or --for SPAN")
    end = moment_from(until) if until else tools.clock.now() + seconds_from(span)
    if end <= tools.clock.now():
        raise Refused(f"{until} is in the past", cure="name a date to come")
    with opened(tools, store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        with name.sought(), vault.peek(*name) as reader:
            number = reader.info.number
        vault.lock(name.group, number, end)
    Screen(is_json=is_json).show(
        {"group": name.group, "number": number, "locked_until": moment_iso(end)},
        [f"Point {name.group}/{number} is locked until {moment_text(end)}."],
    )


def _show_store(screen: Screen, store: str, vault: Vault) -> None:
    groups, keys = vault.groups(), vault.keys()
    document = {"store": store, "vault": vault.id, "groups": groups, "keys": keys_document(keys)}
    screen.show(
        document,
        pairs(
            [
                ("store", store),
                ("vault", vault.id),
                ("groups", ", ".join(groups) or "none yet"),
                *(("key", f"{key.id}  {key.kind}  {key.label}".rstrip()) for key in keys),
            ]
        ),
    )


def _newest(vault: Vault, group: str) -> PointInfo | None:
    try:
        with vault.peek(group) as reader:
            return reader.info
    except Missing:
        return None  # its first copy was never finished


def _lock_of(vault: Vault, point: PointInfo) -> float:
    from bascule.data.store import pins

    return pins.held_until(vault.objects, point.group).get(point.number, 0.0)


def _group_lines(newest: list[tuple[str, PointInfo | None]]) -> Iterator[str]:
    rows = [
        (p.group, f"{p.group}/{p.number}", moment_text(p.captured_at), ", ".join(m.name for m in p.machines))
        if p
        else (group, "no point yet", "", "")
        for group, p in newest
    ]
    return table(("GROUP", "NEWEST", "CAPTURED", "MACHINES"), rows)


def _point_lines(points: list[PointInfo]) -> Iterator[str]:
    rows = [
        (
            f"{p.group}/{p.number}",
            moment_text(p.captured_at),
            p.consistency if p.complete else f"{p.consistency}, incomplete",
            bytes_text(size_of(p)),
            bytes_text(changed_of(p)),
            moment_text(p.locked_until) if p.locked_until else "",
        )
        for p in points
    ]
    return table(("POINT", "CAPTURED", "CONSISTENCY", "SIZE>", "CHANGED>", "LOCKED UNTIL"), rows)


def _point_detail(point: PointInfo) -> Iterator[str]:
    yield from pairs(
        [
            ("point", f"{point.group}/{point.number}"),
            ("captured", moment_text(point.captured_at)),
            ("durable", moment_text(point.durable_at)),
            ("consistency", point.consistency if point.complete else f"{point.consistency}, incomplete"),
            ("locked until", moment_text(point.locked_until) if point.locked_until else "not locked"),
        ]
    )
    yield ""
    rows = [
        (m.id, m.name, disk.id, bytes_text(disk.size_bytes), bytes_text(disk.changed_bytes))
        for m in point.machines
        for disk in m.disks
    ]
    yield from table(("MACHINE", "NAME", "DISK", "SIZE>", "CHANGED>"), rows)


app.command()(verify)
app.command()(sweep)
