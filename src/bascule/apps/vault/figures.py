"""What /metrics tells of a server (R-OP-6)."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bascule.front.local.figures import Figure, figure
from bascule.model.vault.job import JobState
from bascule.ports.chance import Clock
from bascule.ports.vault.hosts import Hosts

from .engine import Engine

_IN_TOUCH_SECONDS = 900.0
_OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.WAITING)


class Figures:
    """Asks the parts of a server for figures, each time anew."""

    def __init__(self, machine: Engine, hosts: Hosts, clock: Clock) -> None:
        self._machine = machine
        self._hosts = hosts
        self._clock = clock
        self._began = clock.now()

    def all(self) -> Iterator[Figure]:
        """Yield all figures."""
        yield figure("bascule_started_seconds", "When this server started, since 1970.", self._began)
        yield from self._catalog()
        yield self._calls()
        yield self._attempts()
        yield self._door()
        yield from _process()

    def _catalog(self) -> Iterator[Figure]:
        with self._machine.catalog.reading() as books:
            vaults = books.vaults.list()
            items = books.items.count()
            states = books.jobs.states()
        yield figure("bascule_vaults", "Vaults of this server.", len(vaults))
        yield figure("bascule_items", "Items of all vaults.", items)
        samples = tuple(((("state", state.name.lower()),), float(states.get(state, 0))) for state in _OPEN)
        yield Figure("bascule_jobs", "Jobs that have not ended, by state.", samples)

    def _calls(self) -> Figure:
        tally = self._machine.service.gate.tally()
        samples = tuple(
            ((("call", what), ("result", code or "done")), float(times)) for (what, code), times in tally
        )
        return Figure("bascule_calls_total", "Calls to the desks since the start.", samples, "counter")

    def _attempts(self) -> Figure:
        samples = tuple(((("end", end),), float(times)) for end, times in self._machine.runner.tally())
        return Figure(
            "bascule_attempts_total", "Attempts at jobs that ended since the start.", samples, "counter"
        )

    def _door(self) -> Figure:
        now, states = self._clock.now(), Counter[str]()
        for host in self._hosts.sightings():
            is_heard = host.seen_at is not None and now - host.seen_at < _IN_TOUCH_SECONDS
            states["revoked" if host.is_revoked else "in touch" if is_heard else "silent"] += 1
        samples = tuple(
            ((("state", name),), float(states[name])) for name in ("in touch", "silent", "revoked")
        )
        return Figure("bascule_hosts", "Hosts that joined, by whether they are heard of.", samples)


def _process() -> Iterator[Figure]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield figure("process_cpu_seconds_total", "Processor time.", time.process_time(), "counter")
    yield figure("process_resident_memory_bytes", "Memory.", pages * resource.getpagesize())
