"""A transfer as a command runs it: watched, held to a rate, and stopped in order by Ctrl-C.

The first Ctrl-C (or SIGTERM) asks it to end between two units; the next means what it
meant before, and ends the process at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from bascule.model.errors import BasculeError, Cancelled
from bascule.ports.chance import Clock

from .printing.screen import Screen

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.flow.throttle import Throttle

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SLICE_SECONDS = 0.5


@contextmanager
def conducted(clock: Clock, screen: Screen, doing: str, workers: int, limit: str = "") -> Iterator[Conduct]:
    """Yield how to conduct a transfer; ``limit`` is a rate, or rates by the hour; empty for none."""
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.flow.crew import Cancel
    from bascule.data.pipeline.flow.progress import Meter

    cancel = Cancel()

    def ask() -> None:
        cancel.request()
        screen.note("Stopping in order; once more stops at once.")

    with screen.progress(doing) as observer, on_stop(ask):
        yield Conduct(Meter(clock, observer), cancel, throttle_of(clock, limit), workers)


def throttle_of(clock: Clock, limit: str) -> Throttle | None:
    """Return what holds a transfer to ``limit``: a rate, or rates by the hour; None for an empty text."""
    if not limit:
        return None
    from bascule.data.pipeline.flow.throttle import Throttle

    from .words.rates import schedule_from

    return Throttle(clock, schedule_from(limit))


def going_on(error: BasculeError) -> BasculeError:
    """Say of an interruption that it can be taken up again, unless it says so already."""
    if isinstance(error, Cancelled):
        return error
    then = "start it again: it goes on where it was"
    return type(error)(
        error.message, cure=f"{error.cure}; then {then}" if error.cure else then, code=error.code
    )


@contextmanager
def on_stop(ask: Callable[[], None]) -> Iterator[None]:
    """Call ``ask`` at the first signal; the next means what it meant before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def first(_number: int, _frame: FrameType | None) -> None:
        restore()
        ask()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in SIGNALS:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()


def wait_for(stop: Event, seconds: float | None = None) -> bool:
    """Wait until somebody asked to stop, for so long at most; tell whether somebody did.

    In slices: the system may hand a signal to any thread, and Python acts on it in the main one only, which
    does not hear of it while it waits for ever. Every second request was lost so while clients came and went.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = _SLICE_SECONDS if deadline is None else min(deadline - time.monotonic(), _SLICE_SECONDS)
        if stop.wait(max(left, 0.0)):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
