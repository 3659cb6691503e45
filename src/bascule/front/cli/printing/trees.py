"""Jobs as a tree that lives. Imported only where there is a terminal, for rich takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text
from rich.tree import Tree

_MARKS = {"Succeeded": ("✓", "green"), "Failed": ("✗", "red"), "Cancelled": ("-", "yellow")}


@contextmanager
def tree() -> Iterator[Forest]:
    """Draw jobs on standard error, and keep their last state on the screen."""
    with Live(console=Console(stderr=True), refresh_per_second=8) as live:
        yield Forest(live)


class Forest:
    """All jobs that are watched, each with its tasks."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._jobs: dict[str, Mapping[str, Any]] = {}

    def look(self, job: Mapping[str, Any]) -> None:
        """Draw a job as it is now, below those that were drawn before."""
        self._jobs[str(job["name"])] = job
        top = Tree("", hide_root=True)
        for one in self._jobs.values():
            said = one["properties"]
            branch = top.add(_line(f"{said['friendlyName']} of {said['targetObjectName']}", said["state"]))
            for task in said.get("tasks") or ():
                branch.add(_line(task["friendlyName"], task["state"]))
        self._live.update(top)


def _line(what: str, state: str) -> Text | Spinner:
    if state in _MARKS:
        mark, colour = _MARKS[state]
        return Text.assemble((mark, colour), f" {what}")
    return Spinner("dots", text=Text(f"{what}{'' if state == 'InProgress' else f' ({state})'}"))
