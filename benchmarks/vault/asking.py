"""Clients that ask a server at once, each again as soon as it has its answer."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bascule.front.cli.vault.calling import call

Ask = Callable[[int], object]


def asked(clients: int, seconds: float, ask: Ask) -> list[float]:
    """Return how many milliseconds each answer took."""
    took: list[float] = []
    over = time.monotonic() + seconds

    def client(number: int) -> None:
        mine: list[float] = []
        while (began := time.monotonic()) < over:
            ask(number + clients * len(mine))
            mine.append(1000 * (time.monotonic() - began))
        took.extend(mine)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def p95(values: list[float]) -> float:
    """Return what nineteen of twenty stay below."""
    return statistics.quantiles(values, n=20)[-1]


def caller(folder: Path, what: str, **arguments: Callable[[int], str]) -> Ask:
    """Return who asks a server for something, with arguments by the number of the question."""
    return lambda number: call(folder, what, **{name: value(number) for name, value in arguments.items()})
