"""Words that the owner's commands share, and how they show what a server says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import table
from bascule.front.cli.words.quantities import moment_text

from .calling import call

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder of the server, which runs.", show_default=False)
]
VaultName = Annotated[str, typer.Argument(metavar="VAULT", help="The vault.", show_default=False)]
ItemId = Annotated[
    str,
    typer.Argument(metavar="ITEM", help="An item's name or id, as `items` shows them.", show_default=False),
]
JobName = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's id, as `jobs` shows it.", show_default=False)
]

Row = Callable[[Mapping[str, Any]], Sequence[str]]


def listed(
    folder: Path, what: str, heads: Sequence[str], row: Row, *, is_json: bool, **arguments: object
) -> None:
    """Call for a list and show it."""
    found = call(folder, what, **arguments)
    name = what.partition(".")[2]
    lines = table(heads, [row(one) for one in found]) if found else ["There is nothing."]
    Screen(is_json=is_json).show({"found" if name == "list" else name: found}, lines)


def done(folder: Path, what: str, said: str, *, is_json: bool, **arguments: object) -> None:
    """Call for a change and say that it is made."""
    Screen(is_json=is_json).show({"value": call(folder, what, **arguments)}, [said])


def at(moment: float | None) -> str:
    """Return a moment for people, empty if it has not come."""
    return "" if moment is None else moment_text(moment)
