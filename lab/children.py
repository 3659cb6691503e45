"""Processes that never outlive who started them, whatever interrupts the story.

An interrupt in the middle of starting a process leaves one that nobody knows. So
interrupts wait there, and everywhere else they are a KeyboardInterrupt, once.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupts:
    """Ctrl-C and SIGTERM, once and not where a process is being started: it would be nobody's to end."""

    def __init__(self) -> None:
        self._is_held = self._is_asked = False

    def install(self) -> None:
        """Become what these signals mean."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let an interrupt wait until the block is done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._is_asked:
                raise KeyboardInterrupt

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        is_first, self._is_asked = not self._is_asked, True
        if is_first and not self._is_held:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a command, its output to be read; when the block is left, however that is, it has ended."""
    process = None
    try:
        with INTERRUPTS.held():
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
            )
        yield process
    finally:
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
