"""``bascule pause``, ``resume`` and ``resync``: change what is wanted of a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.options import Json, tools_of
from bascule.model.errors import Refused
from bascule.model.items import State, Wish

from .naming import FolderPath, GroupName, item_of


def pause(context: typer.Context, group: GroupName, folder: FolderPath = None, is_json: Json = False) -> None:
    """Stop making points of a group until `bascule resume`. What changes meanwhile is recorded.

    \b
    Examples:
      bascule pause web --folder /srv/provider
    """
    _change(context, (folder, group), lambda wish: replace(wish, is_paused=True), "is paused", is_json)


def resume(
    context: typer.Context,
    group: GroupName,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Take the group back from whoever took it over: that stops for good, and the machine of"
            " this side is replicated again.",
        ),
    ] = False,
    folder: FolderPath = None,
    is_json: Json = False,
) -> None:
    """Go on with a group that is paused, or that waits for a person after an error.

    A group that somebody else took over (state `fenced`) goes on only with --take-over. Say that only if no
    machine that was recovered from it is needed any more.

    \b
    Examples:
      bascule resume web --folder /srv/provider
      bascule resume web --folder /srv/provider --take-over
    """
    item = item_of(tools_of(context), folder, group)
    facts = item.facts()
    if facts.state is State.FENCED and not take_over:
        raise Refused(
            f"{facts.fenced_by_writer} took group {group} over",
            cure=f"if that is past: `bascule resume {group} --take-over`",
            code="fenced",
        )
    fenced_by = facts.fenced_by if take_over else ""
    _change(
        context,
        (folder, group),
        lambda wish: replace(wish, is_paused=False, hand_over=False, take_over=fenced_by or wish.take_over),
        "goes on",
        is_json,
    )


def resync(
    context: typer.Context, group: GroupName, folder: FolderPath = None, is_json: Json = False
) -> None:
    """Compare a group's disks with the store now, and send what differs.

    This is how an item that is marked for resync is mended at once, without waiting for its hours. It is
    always allowed: nothing is sent that the store has.

    \b
    Examples:
      bascule resync web --folder /srv/provider
    """
    _change(
        context,
        (folder, group),
        lambda wish: replace(wish, resync=wish.resync + 1),
        "is compared with the store as soon as its provider gets to it",
        is_json,
    )


def _change(
    context: typer.Context,
    named: tuple[Path | None, str],
    change: Callable[[Wish], Wish],
    said: str,
    is_json: bool,
) -> None:
    folder, group = named
    item = item_of(tools_of(context), folder, group)
    written = item.change(lambda wish: None if wish is None else change(wish))
    generation = written.generation if written else None
    Screen(is_json=is_json).show({"group": group, "generation": generation}, [f"Group {group} {said}."])
