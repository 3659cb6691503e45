"""Processes that die: one after another lives the same life, each until the next place to die at.

The parent forks, for then Python and its packages are loaded once. Where one died is a line in a file, so
nobody dies twice at one place, and whoever lives on has passed all of them.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


class Deaths:
    """The places at which processes have died, kept in a file that several of them may write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def places(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def note(self, place: str) -> bool:
        """Say that something happens at a place; False if it did before."""
        if place in self.places():
            return False
        with self._path.open("a") as file:
            file.write(f"{place}\n")
        return True

    def die_at(self, place: str) -> None:
        """Kill this process unless one died here before."""
        if self.note(place):
            os.kill(os.getpid(), signal.SIGKILL)


def live_again_and_again(live: Callable[[], int]) -> int:
    """Let one process after another live, until one ends by itself; return its exit code."""
    child = 0

    def end(_number: int, _frame: object) -> None:
        if child:
            os.kill(child, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = 1
            try:
                code = live()
            finally:  # a child of fork never returns into its parent's code
                if code:
                    traceback.print_exc()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
