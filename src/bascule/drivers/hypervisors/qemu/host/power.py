"""Starting and ending a machine of a host.

What runs is what holds its pid file's lock (``process``), so a start and an end need no note of their own,
and after a crash of whoever started or ended a machine nothing has to be put right. Two that start a
machine at once wait for each other at its folder's lock. If a starter died between its QEMU's beginning and
that one's lock, a second QEMU may be begun: it ends at the lock before it touches a disk or a socket, and
the first one is the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from bascule.model.errors import Off, Refused, Unavailable
from bascule.model.machines import Power

from ..monitor import Monitor
from .folder import MachineFolder
from .process import Launched, Process, holder

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.01
_END_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 10.0
_GO_ON_SECONDS = 5.0
_GONE_SECONDS = 5.0
_TO_FAIL_SECONDS = 0.2
_STANDS_FOR_A_DISK = "io-error"
_GUEST_IS_OFF = ("shutdown", "prelaunch")


def power_of(folder: MachineFolder) -> Power:
    """Tell whether a machine runs, and gets time."""
    status = status_of(folder)
    if not status:
        return Power.OFF
    return Power.RUNNING if status == "running" else Power.PAUSED


def status_of(folder: MachineFolder) -> str:
    """Return what QEMU says it does, empty if it does not run.

    Its monitor comes after the process does, for somebody may be starting it just now, and goes before it.
    """
    process = Process.running(folder.pid)
    if process is None:
        return ""
    with process:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with _monitor(folder) as monitor:
                    return str(monitor.execute("query-status")["status"])
            except Unavailable:
                if process.has_ended(_LOOK_SECONDS):
                    return ""
                if time.monotonic() > deadline:
                    raise


@contextmanager
def _monitor(folder: MachineFolder) -> Iterator[Monitor]:
    """Talk to a running machine. One at a time: others wait for the greeting."""
    with closing(Monitor.connect(folder.power)) as monitor:
        yield monitor


@contextmanager
def talk_to(folder: MachineFolder) -> Iterator[Monitor]:
    """Talk to a machine, or raise Unavailable if it is off."""
    must_run(folder)
    with _monitor(folder) as monitor:
        yield monitor


def must_run(folder: MachineFolder) -> None:
    """Raise Off if a machine is off."""
    if not holder(folder.pid):
        raise Off(f"{folder.name} is off", cure="start it")


def launch(folder: MachineFolder, command: Sequence[str], descriptors: Sequence[int]) -> None:
    """Start a QEMU and return when it runs. The caller holds the folder's lock."""
    launched = Launched(command, folder, descriptors)
    try:
        _await_start(folder, launched)
    except BaseException:
        launched.kill()
        raise


def pull_cables(folder: MachineFolder, cards: Sequence[str]) -> None:
    """Show the guest that the cables of some cards hang loose; one that is off already does not need it."""
    if not cards:
        return
    with suppress(Unavailable), _monitor(folder) as monitor:
        for card in cards:
            monitor.execute("set_link", name=card, up=False)


def _await_start(folder: MachineFolder, launched: Launched) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while (code := launched.ended(_LOOK_SECONDS)) is None:
        if _answers(folder):
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{folder.name} does not come up within {_START_SECONDS:g} s: {launched.last_words}",
                cure="look at qemu.log in its folder, and whether the host is overloaded",
            )
    # 0: a guest that was quick to power off. Somebody holds the pid file: see the second QEMU above.
    if code and not status_of(folder):
        raise Refused(
            f"{folder.name} does not start: {launched.last_words}", cure="put that right, then start it again"
        )


def _answers(folder: MachineFolder) -> bool:
    """Return whether QEMU is ready; a socket that an earlier one left answers nobody."""
    if not folder.power.exists():
        return False
    try:
        with _monitor(folder) as monitor:
            return bool(monitor.execute("query-status"))
    except Unavailable:
        return False


def go_on(folder: MachineFolder) -> None:
    """Let a machine go on that stands still because a disk failed it; others had their reasons.

    The first request after a while fails whether the server is back or not: QEMU begins to connect with it,
    and does not wait. So it is let go again, until it runs or the time is over.
    """
    process = Process.running(folder.pid)
    if process is None:
        return
    with process:
        deadline = time.monotonic() + _GO_ON_SECONDS
        while _stands_for_a_disk(folder, let_go=True):
            if process.has_ended(_TO_FAIL_SECONDS) or not _stands_for_a_disk(folder, let_go=False):
                return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{folder.name} stands still: a disk of it does not answer",
                    cure="see that what serves its disks runs, then start it again",
                )


def _stands_for_a_disk(folder: MachineFolder, *, let_go: bool) -> bool:
    with _monitor(folder) as monitor:
        stands: bool = monitor.execute("query-status")["status"] == _STANDS_FOR_A_DISK
        if stands and let_go:
            monitor.execute("cont")
    return stands


def shut_down(folder: MachineFolder, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
    """Press the power button, again from time to time, until the machine is off or the seconds are over."""
    process = Process.running(folder.pid)
    if process is None:
        return
    with process:
        deadline = now() + seconds
        while (left := deadline - now()) > 0:
            _press(folder)
            if process.has_ended(min(left, _ASK_AGAIN_SECONDS)):
                return
    raise _deaf(folder, seconds)


def bring_to_rest(folder: MachineFolder, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
    """Press the power button, and have QEMU stay when its guest is off. A guest that is deaf runs on."""
    deadline = now() + seconds
    with talk_to(folder) as monitor:
        monitor.execute("set-action", shutdown="pause")
        try:
            while now() < deadline:
                if monitor.execute("query-status")["status"] in _GUEST_IS_OFF:
                    return
                monitor.execute("system_powerdown")
                monitor.hears("SHUTDOWN", min(deadline - now(), _ASK_AGAIN_SECONDS))
        except BaseException:
            monitor.execute("set-action", shutdown="poweroff")
            raise
        monitor.execute("set-action", shutdown="poweroff")
    raise _deaf(folder, seconds)


def is_at_rest(folder: MachineFolder) -> bool:
    """Tell whether a machine runs that has no guest which could go on."""
    return status_of(folder) in _GUEST_IS_OFF


def _deaf(folder: MachineFolder, seconds: float) -> Unavailable:
    return Unavailable(
        f"{folder.name} did not power off within {seconds:g} s and runs on",
        cure="look at its console; give it more time, or cut its power",
    )


def _press(folder: MachineFolder) -> None:
    try:
        with _monitor(folder) as monitor:
            is_guest_off = monitor.execute("query-status")["status"] in _GUEST_IS_OFF
            monitor.execute("quit" if is_guest_off else "system_powerdown")
    except Unavailable:
        process = Process.running(folder.pid)
        if process is not None:
            with process:
                if not process.has_ended(_GONE_SECONDS):
                    raise


def cut(folder: MachineFolder) -> None:
    """Kill a machine, and return when its disks are free."""
    process = Process.running(folder.pid)
    if process is None:
        return
    with process:
        process.kill()
        if not process.has_ended(_END_SECONDS):
            raise Unavailable(
                f"{folder.name} was killed and does not end within {_END_SECONDS:g} s",
                cure="see what its disks wait for; it is over when they answer",
            )
