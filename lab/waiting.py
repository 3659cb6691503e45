"""Waiting for what other threads and processes do: the one place that looks again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE, _PAUSE_MAX = 0.005, 0.05


def wait_until(condition: Callable[[], bool], seconds: float = 60.0, what: str = "what never came") -> None:
    """Return as soon as a condition holds, or raise TimeoutError that says what was waited for.

    A look that began within the time counts, however long this process did not run meanwhile. The looks
    take at most half of a core and come more rarely the longer it lasts: what is waited for needs the
    processor more.
    """
    began = looked = time.monotonic()
    while not condition():
        if looked > began + seconds:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        now = time.monotonic()
        # The pause between two looks: there is no event to wait for in another process.
        time.sleep(min(max(_PAUSE, now - looked, (now - began) / 50), _PAUSE_MAX))
        looked = time.monotonic()
