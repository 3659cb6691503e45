"""Machines of a group frozen at one instant (R-RP-5).

All are made ready, then all stand still, then all are cut, then all run again: each step
is taken for all of them at once and is over before the next begins. Whatever goes wrong, all run again
first, and then what was made ready is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.disks import DiskSource
from bascule.ports.machines import Freezing, Frozen, RunningMachine, Tracking


class HeldSource:
    """A frozen disk. One that its hypervisor cannot show any more was lost for this time, not for good."""

    def __init__(self, source: DiskSource, disk: str) -> None:
        self._source = source
        self._disk = disk
        self.size_bytes = source.size_bytes
        self.is_delta = source.is_delta
        self.is_near = source.is_near
        self.extents, self.expect, self.close = source.extents, source.expect, source.close

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See DiskSource."""
        with self._held():
            self._source.read_into(offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """See DiskSource."""
        with self._held():
            self._source.read_many(pieces)

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise Unavailable(
                f"disk {self._disk} was not held as it was until it was read: {error.message}",
                cure="see whether the folder is full that takes what the machine overwrites",
            ) from error


class Ready(NamedTuple):
    """A machine and from where its changes count."""

    machine: RunningMachine
    since: Tracking


class Instant(NamedTuple):
    """Machines by their ids, as of one instant, and how long they were held for it at most."""

    frozen: Mapping[str, Frozen]
    held_seconds: float

    @property
    def captured_at(self) -> float:
        return min(frozen.captured_at for frozen in self.frozen.values())

    def thaw(self) -> None:
        """Show the disks no longer; what goes wrong shows again when the machines are let go of."""
        for frozen in self.frozen.values():
            with suppress(BasculeError):
                frozen.thaw()

    def drop(self) -> None:
        """Let go of all machines; their changes count from where they counted before."""
        for frozen in self.frozen.values():
            with suppress(BasculeError):  # what is being raised says more; settling finds what is left
                frozen.drop()


class Aside:
    """One thing that is done beside what the block does, once it is begun; the block ends after it."""

    def __init__(self, task: Callable[[], None]) -> None:
        self._task = task
        self._crew = ThreadPoolExecutor(1, "aside")
        self._under_way: Future[None] | None = None

    def begin(self) -> None:
        """Begin it; called once."""
        self._under_way = self._crew.submit(self._task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.shutdown()
        if self._under_way is not None:
            self._under_way.result()


class Stumbled(Exception):
    """One machine could not be frozen; the others run and are as they were."""

    def __init__(self, machine: str, error: BasculeError) -> None:
        super().__init__(error.message)
        self.machine = machine
        self.error = error


def freeze(machines: Mapping[str, Ready], clock: Clock) -> Instant:
    """Freeze machines at one instant, or raise Stumbled and leave all of them as they were."""
    if len(machines) > 1:
        return _Together(machines, clock).freeze()
    ((name, (machine, since)),) = machines.items()
    try:
        return Instant({name: machine.freeze(since)}, 0.0)
    except BasculeError as error:
        raise Stumbled(name, error) from error


class _Together:
    """Several machines on their way to one instant."""

    def __init__(self, machines: Mapping[str, Ready], clock: Clock) -> None:
        self._machines = machines
        self._clock = clock
        self._freezing: dict[str, Freezing] = {}

    def freeze(self) -> Instant:
        try:
            self._prepare()
            # No more threads than machines, and all of them there before the first machine stops.
            with ThreadPoolExecutor(len(self._machines), "instant") as crew:
                self._each(crew, lambda _: None)
                held = self._cut(crew)
            return Instant(self._shown(), held)
        except BaseException:
            for freezing in self._freezing.values():
                with suppress(BasculeError):  # what is being raised says more; settling finds what is left
                    freezing.cancel()
            raise

    def _prepare(self) -> None:
        for name, (machine, since) in self._machines.items():
            with _naming(name):
                self._freezing[name] = machine.prepare(since)

    def _cut(self, crew: ThreadPoolExecutor) -> float:
        begun = self._clock.monotonic()
        try:
            self._each(crew, lambda freezing: freezing.hold())
            self._each(crew, lambda freezing: freezing.cut())
        finally:
            self._each(crew, lambda freezing: freezing.release())
        return self._clock.monotonic() - begun

    def _shown(self) -> dict[str, Frozen]:
        shown = {}
        for name, freezing in self._freezing.items():
            with _naming(name):
                shown[name] = freezing.show()
        return shown

    def _each(self, crew: ThreadPoolExecutor, step: Callable[[Freezing], None]) -> None:
        """Take a step for all machines, and return when it is over for all, whatever became of it."""
        under_way: dict[str, Future[None]] = {}
        try:
            for name, freezing in self._freezing.items():
                under_way[name] = crew.submit(step, freezing)
        finally:
            wait(under_way.values())
        for name, done in under_way.items():
            with _naming(name):
                done.result()


@contextmanager
def _naming(machine: str) -> Iterator[None]:
    """Say of an error which machine it is about."""
    try:
        yield
    except BasculeError as error:
        raise Stumbled(machine, error) from error
