"""Where a command prints.

Answers go to standard output: lines for people or, with ``--json``, one document.
A long command prints JSON lines instead: events of progress, and one that ends it.
Everything said on the way (progress, notes, errors) goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.progress import Progress

Document = Mapping[str, object]
Observer = Callable[["Progress"], None]


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line at once: a program may be waiting for it."""
    stream = stream or sys.stdout
    stream.write(text + "\n")
    stream.flush()


class Screen:
    """Prints for a person, or for a program."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json

    def show(self, document: Document, lines: Iterable[str]) -> None:
        """Print an answer: all of a short command's output."""
        if self.is_json:
            say(json.dumps(document, indent=2))
            return
        for line in lines:
            say(line)

    def event(self, name: str, fields: Document, lines: Iterable[str] = ()) -> None:
        """Print one thing that happened in a long command."""
        if self.is_json:
            say(json.dumps({"event": name, **fields}))
            return
        for line in lines:
            say(line)

    def note(self, text: str) -> None:
        """Tell a person something on the way."""
        if not self.is_json:
            say(text, sys.stderr)

    @contextmanager
    def progress(self, doing: str) -> Iterator[Observer]:
        """Show how far work is: a bar on a terminal, events in JSON, nothing elsewhere."""
        if self.is_json:
            yield lambda progress: self.event("progress", {"doing": doing, **_progress_fields(progress)})
        elif sys.stderr.isatty():
            from .bars import bar

            with bar(doing) as observer:
                yield observer
        else:
            yield lambda _: None


def _progress_fields(progress: Progress) -> Document:
    left = progress.seconds_left
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "stored_bytes": progress.stored_bytes,
        "elapsed_seconds": round(progress.elapsed_seconds, 3),
        "rate_bytes": round(progress.rate_bytes),
        "seconds_left": None if left is None else round(left, 1),
    }
