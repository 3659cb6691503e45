"""The hosts' door of a server, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bascule.apps import door
from bascule.front.cli.door.behind import VaultDoor
from bascule.model.errors import BasculeError, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.vault.news import Tell


class HostsDoor:
    """Opened once; whoever looks after it asks ``check`` now and then."""

    def __init__(self, behind: VaultDoor, listen: str, clock: Clock) -> None:
        self._behind = behind
        self._listen = listen
        self._clock = clock
        self._stop, self._settled = threading.Event(), threading.Event()
        self._error: BasculeError | None = None
        self.address = ""
        self.tell: Tell = behind.tell

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep it open until the end of the block."""
        thread = threading.Thread(target=self._run, name="door")
        thread.start()
        try:
            self._settled.wait()
            self.check()
            yield
        finally:
            self._stop.set()
            thread.join()

    def check(self) -> str:
        """Raise if it is not open any more."""
        if self._error is not None:
            raise self._error
        return f"hosts come in at {self.address}"

    def _run(self) -> None:
        try:
            behind = replace(self._behind, tell=self.tell)
            door.run(behind, self._listen, self._clock, self._stop, self._heard)
        except BasculeError as error:
            self._error = error
        finally:
            if not self._stop.is_set() and self._error is None:
                self._error = Unavailable(
                    "the hosts' door ended by itself", cure="see the log, and report it"
                )
            self._settled.set()

    def _heard(self, address: str) -> None:
        self.address = address
        self._settled.set()
