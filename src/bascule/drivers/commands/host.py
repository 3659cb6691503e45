"""Commands run as processes of this host, with little in their environment and an end to their time.

What a command inherits is named here, for whoever runs it may have keys of stores in its own environment.
One that takes too long is ended with all that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from bascule.model.errors import Unavailable

_INHERITED: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ")
_SHOWN: Final = 300


class HostCommands:
    """See ``ports.guests.Commands``. Thread-safe."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._inherited = {name: settings[name] for name in _INHERITED if name in settings}

    def run(self, words: Sequence[str], facts: Mapping[str, str], seconds: float) -> None:
        """See Commands."""
        # A file, not a pipe: a child that the command leaves behind would hold a pipe open.
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    words,
                    env={**self._inherited, **facts},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(
                    f"{words[0]} cannot be run: {error.strerror}", cure="see the path"
                ) from error
            code = _ended(process, seconds)
            if code == 0:
                return
            said.seek(max(0, said.seek(0, os.SEEK_END) - _SHOWN))
            last = said.read().decode(errors="replace").strip()
        why = f"takes longer than {seconds:g} s" if code is None else f"ended with {code}"
        raise Unavailable(f"{words[0]} {why}{': ' if last else ''}{last}", cure="run it by hand, and see why")


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Wait for a process; None if it had to be ended."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
