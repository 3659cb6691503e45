"""The instant of a machine: its disks made ready, frozen, and shown.

A machine that is frozen alone needs no pause if it has one disk, or if iothreads serve all of them
(``fleeced``). Other disks are frozen between ``stop`` and
``cont``, which are sent with all that is between them in one piece, over a connection that
outlives this process (``keeper``). Machines that are frozen together stop, freeze and go on
step by step, for the last to stop decides when the first may be frozen; should we die
in between, the keeper says ``cont``, and should it die too, a mark in the folder tells the next
owner to. A machine that ran before all were frozen, for whatever reason, is found out by
``release``: QEMU says in the same breath whether it ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bascule.model.errors import Unavailable
from bascule.ports.chance import Clock

from .frozen import FrozenQemu, Slot, instant
from .images import WriteBack, told_of
from .keeper import Keeper, kept_open
from .monitor import Command, Monitor, QemuRefused


class FreezingQemu:
    """See ``ports.machines.Freezing``."""

    def __init__(self, monitor: Monitor, slots: Sequence[Slot], folder: Path, clock: Clock) -> None:
        self._monitor = monitor
        self._slots = slots
        self._clock = clock
        self._mark = standing_in(folder)
        self._frozen = FrozenQemu(monitor, slots)
        self._keeper: Keeper | None = None
        self._is_held = False

    def prepare(self) -> None:
        """Make ready what the instant needs, or leave nothing behind."""
        with ExitStack() as undo:
            undo.callback(self._frozen.drop)
            for slot in self._slots:
                slot.prepare()
            undo.pop_all()

    def at_once(self) -> FrozenQemu:
        """Freeze and show a prepared machine that is alone, or leave nothing behind."""
        with ExitStack() as undo:
            undo.callback(self._frozen.drop)
            self._freeze_alone()
            self._frozen.show()
            undo.pop_all()
        return self._frozen

    def _freeze_alone(self) -> None:
        commands = instant(self._slots)
        self._frozen.captured_at = self._clock.now()
        if len(commands) == 1 or len(self._slots) == 1 or not self._runs():
            self._monitor.run(commands)
            return
        self.write_out()
        with self._noted(), kept_open(self._monitor.descriptor):
            self._monitor.run([Command("stop"), *commands, Command("cont")])

    def hold(self) -> None:
        """See Freezing."""
        if not self._runs():
            return
        self._keeper = Keeper(self._monitor.descriptor)
        with told_of(self._mark.parent):
            self._mark.touch()
        self._is_held = True
        self._monitor.run([Command("stop")])

    def cut(self) -> None:
        """See Freezing."""
        self._frozen.captured_at = self._clock.now()
        self._monitor.run(instant(self._slots))

    def release(self) -> None:
        """See Freezing."""
        if not self._is_held:
            return
        try:
            status, _ = self._monitor.run([Command("query-status"), Command("cont")])
        finally:
            if self._keeper is not None:
                self._keeper.end()
        self._is_held = False
        self._mark.unlink(missing_ok=True)
        if status["running"]:
            raise Unavailable(
                "the machine ran before all machines of its group were frozen",
                cure="look whether the host is overloaded; the next point is tried as usual",
            )

    def show(self) -> FrozenQemu:
        """See Freezing."""
        self._frozen.show()
        return self._frozen

    def cancel(self) -> None:
        """See Freezing."""
        with suppress(Unavailable):  # it ran all the same, or it is gone and that shows next
            self.release()
        self._frozen.drop()

    def _runs(self) -> bool:
        return bool(self._monitor.execute("query-status")["running"])

    def write_out(self) -> None:
        """Let ``stop``, which flushes, find nothing to write: nobody may write meanwhile."""
        WriteBack([slot.disk.file for slot in self._slots]).wait()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note that the machine stands still, until QEMU has answered: without that it may go on standing."""
        with told_of(self._mark.parent):
            self._mark.touch()
        try:
            yield
        except QemuRefused:
            self._mark.unlink(missing_ok=True)
            raise
        self._mark.unlink(missing_ok=True)


def standing_in(folder: Path) -> Path:
    """Return the file that says that we are stopping the machine, should we and the keeper die of it."""
    return folder / "standing"
