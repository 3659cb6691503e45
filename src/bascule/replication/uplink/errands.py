"""Errands: commands of the vault that take their time, and what became of them.

A command becomes a file, durably, before the journal says that it was heard. Who carries it out writes the
result into the same file; when the vault has that, the file goes. Killed while it is carried out, it is
carried out again, so each must be what may be done twice. Errands of one group are done one after another, in
the order in which the vault gave them.

An errand that cannot be done at the moment is tried for a while, and then its result says so. If another one
of its group waits, it is given up at once: whoever gave that one has seen that this one hangs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from bascule.data.pipeline.flow.progress import Progress
from bascule.model.errors import BasculeError, Damaged, Refused, Unavailable
from bascule.model.items import Headway
from bascule.model.vault.commands import Command, Result
from bascule.replication.provider.folder import put, told_of

log = structlog.get_logger(__name__)

CarryOut = Callable[[Command], str]
"""Does what a command says, and returns what it found or made; asked again it completes."""

_TRIES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_AT_ONCE = 4
_LOOK_SECONDS = 0.2
_AGAIN_SECONDS = 5.0
_PARTING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Errand:
    """A command, and what became of it."""

    command: Command
    result: Result | None = None


class Errands:
    """The errands of a host, a file for each. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()

    def take(self, command: Command) -> None:
        """Have a command carried out; durable on return, and once however often it comes."""
        with self._guard:
            if not self._file(command.sequence).exists():
                self._put(Errand(command))

    def end(self, command: Command, result: Result) -> None:
        """Say what became of an errand."""
        with self._guard:
            if self._file(command.sequence).exists():
                self._put(Errand(command, result))

    def confirm(self, results: tuple[Result, ...]) -> None:
        """Let go of results that the vault has."""
        with self._guard, told_of(self._path):
            for result in results:
                self._file(result.sequence).unlink(missing_ok=True)

    def waiting(self) -> list[Command]:
        """Return what is to be done, in the order in which it was given."""
        return [errand.command for errand in self._all() if errand.result is None]

    def results(self) -> tuple[Result, ...]:
        """Return what the vault has not confirmed yet."""
        return tuple(errand.result for errand in self._all() if errand.result is not None)

    def _all(self) -> list[Errand]:
        with self._guard:
            if not self._path.exists():
                return []
            return [_read(path) for path in sorted(self._path.glob("[0-9]*.json"))]

    def _put(self, errand: Errand) -> None:
        with told_of(self._path):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"version": 1, **asdict(errand)})
        put(self._file(errand.command.sequence), text.encode(), durable=True)

    def _file(self, sequence: int) -> Path:
        return self._path / f"{sequence:016d}.json"


def _read(path: Path) -> Errand:
    try:
        found = json.loads(path.read_bytes())
        result = found["result"]
        return Errand(Command(**found["command"]), Result(**result) if result else None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} cannot be read: {error!r}", cure="set it aside; its job waits until it is cancelled"
        ) from error


class Headways:
    """How far errands are. Each is carried out in a thread of its own, which says so by what it transfers."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._known: dict[str, Headway] = {}

    @contextmanager
    def of(self, command: Command) -> Iterator[None]:
        """Take what this thread transfers in the block for what a command does."""
        self._here.id = command.id
        try:
            yield
        finally:
            del self._here.id
            self._known.pop(command.id, None)

    def observer(self) -> Callable[[Progress], None]:
        """Return who looks at a transfer that this thread begins; any thread may tell it."""
        id: str = getattr(self._here, "id", "")

        def look(seen: Progress) -> None:
            if id:
                far = Headway(seen.done_bytes, seen.total_bytes, seen.rate_bytes, seen.seconds_left)
                self._known[id] = far

        return look

    def known(self) -> Mapping[str, Headway]:
        """Return how far each errand is, by its command's id, where anything is transferred."""
        return dict(self._known)


class Hands:
    """Carry errands out, those of several groups at one time. ``told`` is called when one has ended."""

    def __init__(
        self,
        errands: Errands,
        verbs: Mapping[str, CarryOut],
        told: Callable[[], None],
        tries_seconds: tuple[float, ...] = _TRIES_SECONDS,
        headways: Callable[[], Headways] = Headways,
    ) -> None:
        self._errands = errands
        self._verbs = verbs
        self._told = told
        self._tries_seconds = tries_seconds
        self._headways = headways
        self._bell = threading.Event()
        self._at_work: dict[str, threading.Thread] = {}
        self._parting = threading.Event()

    def knows(self, verb: str) -> bool:
        """Is a command an errand?"""
        return verb in self._verbs

    def take(self, command: Command) -> None:
        """Have a command carried out."""
        self._errands.take(command)
        self._bell.set()

    def run(self, over: threading.Event) -> None:
        """Carry out what waits until it is over; what is under way then is done again by the next process."""
        while True:
            self._bell.clear()
            if over.is_set():
                break
            try:
                self._begin()
            except BasculeError as error:
                log.warning("replication.errands_unread", reason=error.message)
            self._bell.wait()
        self._parting.set()
        for thread in list(self._at_work.values()):
            thread.join(_PARTING_SECONDS)

    def stop(self) -> None:
        """Let ``run`` see that it is over."""
        self._bell.set()

    def _begin(self) -> None:
        seen = set(self._at_work)
        for command in self._errands.waiting():
            if command.group in seen or len(self._at_work) >= _AT_ONCE:
                continue
            seen.add(command.group)
            # A daemon: it may take hours, and a process that is to end does not wait for that.
            work = threading.Thread(target=self._work, args=(command,), name="errand", daemon=True)
            self._at_work[command.group] = work
            work.start()

    def _work(self, command: Command) -> None:
        try:
            result = self._result(command)
            if not self._parting.is_set():
                self._errands.end(command, result)
                self._told()
        except BasculeError as error:
            # It is done again, which is harmless; not at once, for what is full stays full for a while.
            log.warning("replication.errand_untold", command=command.id, reason=error.message)
            self._parting.wait(_AGAIN_SECONDS)
        finally:
            del self._at_work[command.group]
            self._bell.set()

    def _result(self, command: Command) -> Result:
        log.info("replication.errand_began", command=command.id, verb=command.verb, item=command.group)
        for seconds in (*self._tries_seconds, None):
            try:
                with self._headways().of(command):
                    value = self._verbs[command.verb](command)
                return Result.of(command, None, value=value)
            except Unavailable as error:
                log.info("replication.errand_failed", command=command.id, reason=error.message)
                if seconds is None or self._is_overtaken(command, seconds):
                    return Result.of(command, error)
            except BasculeError as error:
                return Result.of(command, error)
            except Exception as error:
                # A supervisor: a mistake in a verb is its result, and not the end of other errands.
                log.exception("replication.errand_broke", command=command.id, verb=command.verb)
                cure = "this is a mistake in Bascule: report it, with the log of the host"
                return Result.of(command, Refused(f"{type(error).__name__}: {error}", cure=cure, code="bug"))
        raise AssertionError("the last try returns")

    def _is_overtaken(self, command: Command, seconds: float) -> bool:
        """Wait before the next try, unless another errand of the group waits for it."""
        left = seconds
        while left > 0 and not self._parting.wait(min(left, _LOOK_SECONDS)):
            left -= _LOOK_SECONDS
            later = (other for other in self._errands.waiting() if other.sequence > command.sequence)
            if any(other.group == command.group for other in later):
                return True
        return self._parting.is_set()
