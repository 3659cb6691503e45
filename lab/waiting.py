"""Waiting for what other threads and processes do: the one place that looks again and again."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float = 30.0, what: str = "what never came") -> None:
    """Return as soon as a condition holds, or raise TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.005)  # the pause between two looks: there is no event to wait for in another process
