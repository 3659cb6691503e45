"""The agent of a guest, by way of a watch that thaws (``watch``): a process that its driver names."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import Unavailable
from bascule.ports.guests import FROZEN_AT_MOST_SECONDS

from .watch import SYNC_SECONDS

_STARTS_SECONDS: Final = 30.0
_SLACK_SECONDS: Final = 5.0
_DIES_SECONDS = 2.0
_ENDS_SECONDS: Final = 1.0
_LINE_MAX: Final = 1 << 16


class WatchedAgent:
    """See ``ports.guests.GuestAgent``.

    ``module`` is run as the watch of the guest that ``words`` name. ``folder`` is the machine's, for a mark;
    ``limit`` is in seconds.
    """

    def __init__(
        self, module: str, words: Sequence[str], folder: Path, limit: float = FROZEN_AT_MOST_SECONDS
    ) -> None:
        self._module = module
        self._words = words
        self._mark = folder / "frozen"
        self._limit = limit
        self._watch: _Ordered | None = None

    def freeze(self) -> int:
        """See GuestAgent."""
        try:
            return self._order("freeze", "frozen", self._limit)
        except BaseException:
            self.close()
            raise

    def thaw(self) -> int:
        """See GuestAgent."""
        try:
            return self._order("thaw", "thawed", SYNC_SECONDS)
        except Unavailable:
            if self._watch is None or not self._watch.is_dead or not self._mark.exists():
                raise
            self.close()
            self._order("thaw", "thawed", SYNC_SECONDS)  # the watch died, and another one thaws
            return 0
        finally:
            self.close()

    def is_frozen(self) -> bool:
        """See GuestAgent."""
        return str(self._watching().ask("status", "status", SYNC_SECONDS)["status"]) == "frozen"

    def run(self, script: str, seconds: float) -> None:
        """See GuestAgent."""
        words = json.dumps({"script": script, "seconds": seconds})
        try:
            answer = self._watching().ask(f"run {words}", "ran", seconds + SYNC_SECONDS)
        except BaseException:
            self.close()
            raise
        if answer["ran"]:
            said = str(answer.get("said", "")).strip()
            raise Unavailable(
                f"a script in the guest ended with {answer['ran']}{': ' if said else ''}{said}",
                cure="run it there by hand, and see why",
            )

    def settle(self) -> None:
        """See GuestAgent."""
        if self._mark.exists():
            self.thaw()

    @property
    def watched_by(self) -> int | None:
        """Return the process that thaws the guest, None while there is none."""
        return None if self._watch is None else self._watch.pid

    def _order(self, word: str, key: str, seconds: float) -> int:
        return int(self._watching().ask(word, key, seconds)[key])

    def _watching(self) -> _Ordered:
        if self._watch is None:
            try:
                self._mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._watch = _Ordered([self._module, str(self._mark), str(self._limit), *self._words])
            except OSError as error:
                raise Unavailable(
                    f"nobody can watch over the guest at {self._words[-1]}: {error}",
                    cure="see that the folder may be written to, and that one more process may begin",
                ) from error
        return self._watch

    def close(self) -> None:
        """See GuestAgent."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class _Ordered:
    """A watch, as its owner sees it."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # whoever kills our group does not mean the guest
            bufsize=0,
        )
        self._heard = b""
        self._is_ready = False

    def ask(self, word: str, key: str, seconds: float) -> dict[str, Any]:
        """Give an order and return the answer, which has a key."""
        if not self._is_ready:
            self._answer("ready", _STARTS_SECONDS)
            self._is_ready = True
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n".encode())
        except OSError as error:
            # It may have said why before it ended.
            return self._answer(key, 0.0, error)
        return self._answer(key, seconds + _SLACK_SECONDS)

    def _answer(self, key: str, seconds: float, cause: OSError | None = None) -> dict[str, Any]:
        until = time.monotonic() + seconds
        line = self._line(until)
        if line is None:
            raise Unavailable(
                "the watch over a guest's freeze does not answer any more",
                cure="see whether something ends processes on this host",
            ) from cause
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"])
        if key not in answer:
            raise Unavailable("the guest was thawed before it was asked for, for that took too long")
        return answer

    def _line(self, until: float) -> bytes | None:
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            left = max(0.0, until - time.monotonic())
            data = self._process.stdout.read(_LINE_MAX) if ready(left, [self._process.stdout]) else b""
            if not data:
                return None
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_dead(self) -> bool:
        """Tell whether the watch ended; its pipes close a moment before it is gone."""
        try:
            self._process.wait(_DIES_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """End the pipe: the watch thaws what is frozen, which may take it longer than we wait."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(_ENDS_SECONDS)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._process.wait, name="watch", daemon=True).start()
