"""Waiting for a job: its tasks as a tree that lives on a terminal, as lines elsewhere.

The job goes on by itself whatever happens here: who stops waiting stops nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Protocol

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.quantities import moment_from, seconds_text
from bascule.model.errors import Refused, Unavailable

from .options import properties
from .server import Begun, Server

Document = Mapping[str, Any]
Answer = Callable[[], str]
Said = set[tuple[str, str]]
"""Tasks of which a line was said: their jobs and names."""
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the end of the job, and show its tasks meanwhile.")
]
_LOOK_SECONDS = (0.2, 0.3, 0.5, 1.0)
_PATIENCE_SECONDS = 60.0
_ENDED = ("Succeeded", "Failed", "Cancelled")
_LATER = ("unavailable", "under-way", "machine-off", "busy")
"""Codes of failures that are over some time, by which scripts know that they may try again."""


class View(Protocol):
    """Where a job is shown while it is waited for."""

    def look(self, job: Document) -> None:
        """Show a job as it is now."""


def finish(
    server: Server, screen: Screen, begun: Begun, said: str, *, wait: bool, answer: Answer | None = None
) -> Document:
    """Say that a command was taken, and wait for its end if that is wished; return its job."""
    if not begun.job:
        screen.show(begun.value, [f"{said}: done."])
        return {}
    if not wait:
        job = {"id": begun.job}
        screen.show(
            {"job": job}, [f"{said}: job {begun.job}; `bascule job wait {begun.job}` shows how it ends."]
        )
        return job
    screen.note(f"{said}: job {begun.job}.")
    found = end_of(server, screen, begun.job, answer)
    took = _took(properties(found))
    screen.show({"job": found}, [f"{said}: done{f', in {took}' if took else ''}."])
    return found


def end_of(server: Server, screen: Screen, job: str, answer: Answer | None = None) -> Document:
    """Wait for the end of a job, and return it; raise what it failed by, or that it asks something.

    What it asks is answered by ``answer``, if there is one: by words for the job.
    """
    said: Said = set()
    while True:
        with view_of(screen, said) as view:
            found = _watched(server, job, view.look)
        if properties(found)["state"] != "Suspended" or answer is None:
            raise_failure(found)
            return found
        server.begin("replication_jobs.resume", job, {"properties": {"comments": answer()}})


def view_of(screen: Screen, said: Said | None = None) -> AbstractContextManager[View]:
    """Return where jobs are shown: a tree, lines or, for a program, nothing.

    Lines that were ``said`` before are not said again.
    """
    if not screen.is_json and sys.stderr.isatty():
        from bascule.front.cli.printing.trees import tree

        return tree()
    return _lines(screen, set() if said is None else said)


def raise_failure(job: Document) -> None:
    """Raise what a job failed by, or that it waits for a person."""
    said, name = properties(job), str(job["name"])
    if said["state"] == "Suspended":
        raise Unavailable(
            f"job {name} waits for somebody: {said.get('stateDescription')}",
            cure=f"see `bascule job show {name}`, then `bascule job resume {name}`",
            code="waiting",
        )
    if said["state"] == "Cancelled":
        raise Refused(
            f"job {name} was cancelled", cure="give the command again if it is wanted", code="cancelled"
        )
    if said["state"] != "Failed":
        return
    failure: Mapping[str, Any] = next((one["serviceErrorDetails"] for one in said.get("errors") or ()), {})
    code = str(failure.get("code") or "failed")
    cure = str(failure.get("recommendedAction") or f"see `bascule job show {name}`")
    kind = Unavailable if code in _LATER else Refused
    raise kind(
        f"job {name} failed: {failure.get('message') or 'nobody says why'}",
        cure=f"{cure}; then `bascule job restart {name}`"
        if "Restart" in (said.get("allowedActions") or ())
        else cure,
        code=code,
    )


def tasks_of(job: Document) -> Iterator[tuple[str, str, str]]:
    """Yield the tasks of a job: name, state, how long it took or what it waits for."""
    for one in properties(job).get("tasks") or ():
        state, said = str(one["state"]), str(one.get("stateDescription") or "")
        waits = said if state == "InProgress" != said else ""
        yield str(one["friendlyName"]), state, waits or _took(one)


def _watched(server: Server, name: str, look: Callable[[Document], None]) -> Document:
    heard_at = server.clock.monotonic()
    for pause in _pauses():
        try:
            found = server.get("replication_jobs.get", name)
        except Unavailable:
            # The job outlives its server, so who waits for it does too, for a while.
            if server.clock.monotonic() - heard_at > _PATIENCE_SECONDS:
                raise
        else:
            heard_at = server.clock.monotonic()
            look(found)
            if properties(found)["state"] in (*_ENDED, "Suspended"):
                return found
        server.clock.sleep(pause)
    raise AssertionError  # pauses have no end


def _pauses(steps: Sequence[float] = _LOOK_SECONDS) -> Iterator[float]:
    yield from steps
    while True:
        yield steps[-1]


@contextmanager
def _lines(screen: Screen, said: Said) -> Iterator[View]:
    yield _Lines(screen, said)


class _Lines:
    """One line for each task that ended."""

    def __init__(self, screen: Screen, said: Said) -> None:
        self._screen = screen
        self._said = said

    def look(self, job: Document) -> None:
        for name, state, took in tasks_of(job):
            if state != "InProgress" and (job["name"], name) not in self._said:
                self._said.add((job["name"], name))
                self._screen.note(
                    f"  {name}: {'done' if state == 'Succeeded' else state.lower()} {took}".rstrip()
                )


def _took(one: Document) -> str:
    begun, ended = one.get("startTime"), one.get("endTime")
    if not (begun and ended):
        return ""
    return seconds_text(max(0.0, moment_from(str(ended)) - moment_from(str(begun))))
