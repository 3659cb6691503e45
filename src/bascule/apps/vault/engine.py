"""The parts of a server that are behind its doors, put together: catalog, jobs, desks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bascule.control.jobs.jobs import Jobs
from bascule.control.jobs.queue import DurableQueue
from bascule.control.jobs.runner import Runner
from bascule.control.service.service import Service, service
from bascule.control.service.sides.fabrics import Entrance
from bascule.control.workflows.book import workflows
from bascule.control.workflows.ends import Ends
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.hosts import AwayHosts, HomeHosts, Lines, RecoveryHosts, SourceHosts, Way
from bascule.model.policies import Policy
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.postings import Postings


@dataclass(frozen=True, slots=True)
class Engine:
    """What carries jobs out, and what may be asked of it all. ``node`` names this process among others."""

    node: str
    catalog: SqlCatalog
    runner: Runner
    service: Service
    jobs: Jobs


@contextmanager
def running(
    catalog: SqlCatalog, entrance: Entrance, postings: Postings, clock: Clock, ids: Ids
) -> Iterator[Engine]:
    """Run jobs until the end of the block, which waits for the steps that are under way."""
    node = ids.random(8).hex()
    queue = DurableQueue(catalog.engine, node)
    jobs = Jobs(catalog, queue, clock, ids)
    runner, nodes = Runner(jobs, catalog, queue, clock, ids), catalog.nodes()
    lines = Lines(postings, partial(_way, catalog), clock.now)
    recovery = RecoveryHosts(lines)
    runner.serve(workflows(Ends(SourceHosts(lines), recovery, HomeHosts(lines), AwayHosts(lines))), nodes)
    desks = service(catalog, jobs, entrance, recovery, clock, ids)
    try:
        yield Engine(node, catalog, runner, desks, jobs)
    finally:
        runner.stop(nodes)
        desks.gate.settle()


def _way(catalog: SqlCatalog, vault: str, item: str) -> Way:
    with catalog.reading() as books:
        found = books.items.get(vault, item)
        route = found.route
        policy = books.policies.get(vault, route.policy).policy if route.policy else Policy()
    return Way(route, policy, found.bound_for or route.source, found.settings)
