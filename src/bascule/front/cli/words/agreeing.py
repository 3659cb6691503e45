"""Asking before what cannot be had back: it is said each time, and a person at a terminal is asked too."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.model.errors import Cancelled

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal whether to go on.")]


def agreed(screen: Screen, consequence: str, *, yes: bool) -> None:
    """Say what is about to happen, and go on if nobody at the terminal has something against it."""
    if not consequence:
        return
    screen.note(consequence)
    if yes or screen.is_json or not sys.stdin.isatty():
        return
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Cancelled("nothing was done", cure="answer y, or say --yes")
