"""A server of vaults as a process of its own: started, asked, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError

from bascule.front.cli.vault.calling import call

_START_SECONDS = 60.0
MAIN = "from bascule.apps.command_line import main; main()"


class VaultServer:
    """``bascule serve``, with free ports; it ends with the block, and its log stays in the folder."""

    def __init__(self, folder: Path, *words: str, log: str = "") -> None:
        self.folder = folder
        self._words = words
        self._environment = {**os.environ, **({"BASCULE_LOG": log} if log else {})}
        self.door = self.local = self.api = self.fingerprint = ""
        self._listen = self._api = "127.0.0.1:0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        """Return what it said on standard error, over all its lives."""
        return self._log_file.read_text()

    def start(self) -> None:
        """Start it, and return when it says that everything is open."""
        ports = () if "--listen" in self._words else ("--listen", self._listen)
        api = () if "--api" in self._words else ("--api", self._api)
        command = ["serve", str(self.folder), *ports, "--local", "127.0.0.1:0", *api, "--json", *self._words]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self._process.wait(_START_SECONDS)}:\n{self.log}")
        said = json.loads(line)
        self.door, self.local, self.api = said["door"], said["local"], said["api"]
        self.fingerprint = said["fingerprint"]

    def restart(self) -> None:
        """Start it again, at the addresses that it had."""
        self._listen, self._api = self.door, self.api.removeprefix("https://")
        self.start()

    @property
    def pid(self) -> int:
        """Return its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code."""
        self._process.send_signal(number)
        return self._process.wait(_START_SECONDS)

    def call(self, what: str, /, **arguments: object) -> Any:
        """Have it do something, as its owner."""
        return call(self.folder, what, **arguments)

    def page(self, path: str) -> tuple[int, str]:
        """Return the status and text of a page of the local port."""
        try:
            with urllib.request.urlopen(f"http://{self.local}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    @property
    def _log_file(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")
