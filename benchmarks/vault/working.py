"""What the parts of a server cost that nobody asks: looks of the watch, and jobs between fake sites."""

from __future__ import annotations

import time
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.control.jobs.jobs import Jobs
from bascule.control.jobs.queue import DurableQueue
from bascule.control.jobs.runner import Runner
from bascule.control.watch.watch import Watch
from bascule.control.workflows.book import workflows
from bascule.control.workflows.ends import Ends
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.sites.fake import FakeSites
from bascule.model.vault.item import Command, ProtectedItem
from bascule.model.vault.vault import Vault
from lab.waiting import wait_until

_LOOKS = 5
_SECONDS = 300.0


def look_seconds(catalog: Path, hosts: Path) -> float:
    """Return the processor seconds of one look at a catalog in which nothing changes."""
    opened, database = SqlCatalog(str(catalog)), SqliteDatabase(hosts)
    watch = Watch(opened, SqlHosts(database), SystemClock())
    watch.look()
    began = time.process_time()
    for _ in range(_LOOKS):
        watch.look()
    spent = (time.process_time() - began) / _LOOKS
    opened.close()
    database.close()
    return spent


def jobs_per_second(folder: Path, count: int) -> float:
    """Return how many jobs a second end, of enabling and finalising: nine steps between them."""
    clock, ids = SystemClock(), SystemIds()
    catalog = SqlCatalog(str(folder / "jobs.db"))
    with catalog.writing() as books:
        books.vaults.add(Vault("bench"))
        for number in range(count):
            books.items.add(ProtectedItem(f"i{number}", "bench", f"i{number}"))
    queue = DurableQueue(catalog.engine, ids.random(8).hex(), poll_seconds=0.1)
    jobs = Jobs(catalog, queue, clock, ids)
    sites = FakeSites(folder / "sites.db")
    runner, nodes = Runner(jobs, catalog, queue, clock, ids), catalog.nodes()
    runner.serve(workflows(Ends(sites, sites, sites.home, sites.away)), nodes)
    began = time.monotonic()
    for number in range(count):
        jobs.submit("bench", f"i{number}", Command.ENABLE)

    def ended() -> bool:
        with catalog.reading() as books:
            return not books.jobs.open()

    wait_until(ended, _SECONDS, "the end of all jobs")
    took = time.monotonic() - began
    runner.stop(nodes)
    catalog.close()
    return 2 * count / took
