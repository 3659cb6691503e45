"""Upkeep of the stores that a provider writes to: points are thinned by their policies, space is given back.

One upkeep session per vault, taken when it is needed and ended at once. Another host's provider may fence it:
then that one is doing the work. A group that somebody else took over is left to them.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from bascule.data.store import Vault
from bascule.model.errors import BasculeError, Fenced
from bascule.model.items import State, Wish
from bascule.model.retention import Ladder

from .folder import ProviderFolder, put
from .workshop import Workshop

THIN_SECONDS = 15 * 60.0
SWEEP_SECONDS = 6 * 3600.0
# What has just begun leaves the first minutes to the machines.
FIRST_SECONDS = 120.0

_NOT_OURS = (State.FENCED, State.HANDED_OVER, State.WAITING, State.ELSEWHERE)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tended:
    """What the last upkeep of a store did, or why it did not."""

    at: float
    store: str
    removed_points: int = 0
    swept_at: float = 0.0
    deleted_bytes: int = 0
    error: str = ""


class Caretaker:
    """Thins every quarter of an hour and sweeps every six hours. One thread."""

    def __init__(self, folder: ProviderFolder, shop: Workshop) -> None:
        self._folder = folder
        self._shop = shop
        self._path = folder.path / "upkeep.json"
        self._last: dict[str, Tended] = {one.store: one for one in tended(self._path)}

    def run(self, over: threading.Event) -> None:
        """Look after the stores until it is over."""
        pause = FIRST_SECONDS
        while not over.wait(pause):
            pause = THIN_SECONDS
            self.tend()

    def tend(self) -> None:
        """Look after each store once."""
        for (place, key_file), wishes in self._stores().items():
            before = self._last.get(place, Tended(0.0, place))
            try:
                with self._shop.vault(place, key_file) as vault:
                    self._last[place] = self._tend(before, vault, wishes)
            except Fenced:
                log.info("replication.upkeep_left_to_another", store=place)
            except BasculeError as error:
                log.warning("replication.upkeep_failed", store=place, reason=error.message)
                self._last[place] = Tended(
                    self._shop.clock.now(), place, swept_at=before.swept_at, error=str(error)
                )
        put(self._path, json.dumps([asdict(one) for one in self._last.values()]).encode(), durable=False)

    def _stores(self) -> dict[tuple[str, str], list[Wish]]:
        found: defaultdict[tuple[str, str], list[Wish]] = defaultdict(list)
        for item in self._folder.items():
            wish, state = item.wish(), item.facts().state
            if wish is not None and state not in _NOT_OURS:
                found[wish.store, wish.key_file].append(wish)
        return found

    def _tend(self, before: Tended, vault: Vault, wishes: list[Wish]) -> Tended:
        now = self._shop.clock.now()
        known, removed, deleted = set(vault.groups()), 0, 0
        is_due = not 0 <= now - before.swept_at < SWEEP_SECONDS
        with vault.upkeep(writer=self._shop.who) as upkeep:
            for wish in wishes:
                if wish.group in known:
                    removed += len(upkeep.thin(wish.group, Ladder.parse(wish.policy.retention)))
            if is_due:
                deleted = upkeep.sweep().bytes
                upkeep.compact()
        vault.keep_reserve()
        return Tended(now, before.store, removed, now if is_due else before.swept_at, deleted)


def tended(path: Path) -> list[Tended]:
    """Return what is known of the last upkeep of each store."""
    try:
        return [Tended(**one) for one in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return []
