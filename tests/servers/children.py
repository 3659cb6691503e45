"""Start a real server as a child process, and never leave one behind."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Child:
    """A server that prints its port. It dies with this process, however this process dies."""

    def __init__(
        self, command: Sequence[str], ready: str, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._said: list[str] = []
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._port = 0
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._drain, args=(re.compile(ready),), daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        """The port it listens on; waits until it does."""
        if not self._ready.wait(150) or not self._port:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self._said))
        return self._port

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(10)

    def _drain(self, ready: re.Pattern[str]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.append(line)
                found = ready.search(line)
                if found and not self._port:
                    self._port = int(found[1])
                    self._ready.set()
        self._ready.set()
