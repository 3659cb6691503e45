"""Whose turn it is: a few threads step through many items, whoever is due longest first.

An item that moves a lot (its first copy, a resync) may hold all but one of the threads, never the last: a
small delta does not wait for a terabyte. Memory is bounded by the threads, not by the items.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from bascule.model.errors import BasculeError

from .caretaker import Caretaker
from .folder import ProviderFolder
from .item import REST_SECONDS, Item
from .workshop import Workshop

SCAN_SECONDS = 1.0
_BEAT_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(order=True, slots=True)
class _Turn:
    due: float
    group: str
    item: Item = field(compare=False)
    stamp: tuple[int, int] | None = field(compare=False)
    is_running: bool = field(default=False, compare=False)
    is_heavy: bool = field(default=False, compare=False)


class Conductor:
    """The one provider of a folder."""

    def __init__(
        self, folder: ProviderFolder, shop: Workshop, beside: Callable[[threading.Event], None] | None = None
    ) -> None:
        """``beside`` runs in a thread of its own as long as the items do, until the event that it gets."""
        self._folder = folder
        self._shop = shop
        self._beside = beside
        self._turns: dict[str, _Turn] = {}
        self._heap: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._heavy = 0
        self._beaten = float("-inf")

    def run(self, wait: Callable[[float], bool]) -> None:
        """Keep all items replicated; ``wait`` sleeps and returns True when it is time to stop."""
        with self._folder.run():
            care = Caretaker(self._folder, self._shop)
            threads = [
                threading.Thread(target=self._work, name=f"item-{number}")
                for number in range(self._shop.threads)
            ]
            threads.append(threading.Thread(target=care.run, args=(self._over,), name="upkeep"))
            if self._beside is not None:
                threads.append(threading.Thread(target=self._beside, args=(self._over,), name="beside"))
            for thread in threads:
                thread.start()
            try:
                self._look_around()
                while not wait(SCAN_SECONDS):
                    self._look_around()
            finally:
                self._stop()
                for thread in threads:
                    thread.join()
                for turn in self._turns.values():
                    turn.item.close()

    def _look_around(self) -> None:
        """A folder that cannot be written for a while must not end what runs."""
        try:
            self._look()
        except BasculeError as error:
            log.warning("replication.folder_failed", folder=str(self._folder.path), reason=error.message)

    def _look(self) -> None:
        """See which wishes are new, changed or gone."""
        now = self._shop.clock.monotonic()
        is_beat = now - self._beaten >= _BEAT_SECONDS
        if is_beat:
            self._folder.beat(self._shop.clock.now())
            self._beaten = now
        found = {item.group: item for item in self._folder.items()}
        with self._changed:
            for group in found.keys() - self._turns.keys():
                turn = _Turn(now, group, Item(found[group], self._shop), found[group].stamp())
                self._turns[group] = turn
                heapq.heappush(self._heap, (now, group))
            for turn in self._turns.values():
                stamp = turn.item.folder.stamp()
                if stamp != turn.stamp:
                    turn.stamp = stamp
                    self._wake(turn, now)
            self._changed.notify_all()
            watched = list(self._turns.values()) if is_beat else []
        for turn in watched:
            turn.item.watch()

    def _wake(self, turn: _Turn, now: float) -> None:
        turn.due = now
        if turn.is_running:
            turn.item.interrupt()
        else:
            heapq.heappush(self._heap, (now, turn.group))

    def _stop(self) -> None:
        with self._changed:
            self._over.set()
            for turn in self._turns.values():
                turn.item.interrupt(for_good=True)
            self._changed.notify_all()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            seconds = self._stepped(turn.item)
            self._end(turn, seconds)

    def _next(self) -> _Turn | None:
        """Return whose turn it is, waiting until it is somebody's; None when all is over."""
        with self._changed:
            while not self._over.is_set():
                turn, wait = self._choose()
                if turn is not None:
                    return turn
                self._changed.wait(wait)
        return None

    def _choose(self) -> tuple[_Turn | None, float | None]:
        now, passed_over = self._shop.clock.monotonic(), []
        chosen: _Turn | None = None
        while chosen is None and self._heap and self._heap[0][0] <= now:
            due, group = heapq.heappop(self._heap)
            turn = self._turns.get(group)
            if turn is None or turn.is_running or due < turn.due:
                continue  # a turn that was moved
            turn.is_heavy = turn.item.is_heavy
            if turn.is_heavy and self._heavy >= max(1, self._shop.threads - 1):
                passed_over.append((due, group))
                continue
            chosen = turn
        next_due = self._heap[0][0] - now if self._heap else None
        for entry in passed_over:
            heapq.heappush(self._heap, entry)
        if chosen is not None:
            chosen.is_running = True
            self._heavy += chosen.is_heavy
        return chosen, next_due

    def _stepped(self, item: Item) -> float | None:
        try:
            return item.step()
        except BasculeError as error:  # what it says of itself could not be written
            log.warning("replication.step_untold", item=item.folder.group, reason=error.message)
        except Exception as error:
            log.exception("replication.step_failed", item=item.folder.group)
            with suppress(BasculeError):
                return item.fault(error)
        return REST_SECONDS

    def _end(self, turn: _Turn, seconds: float | None) -> None:
        with self._changed:
            turn.is_running = False
            self._heavy -= turn.is_heavy
            now = self._shop.clock.monotonic()
            if seconds is None:
                del self._turns[turn.group]
                return
            is_woken = turn.stamp != turn.item.heard
            turn.due = now if is_woken else now + seconds
            heapq.heappush(self._heap, (turn.due, turn.group))
            self._changed.notify()
