"""A vault, hosts that registered with it, and a store between them: providers are processes of their own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from bascule.control.workflows.ends import Ends
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.drivers.sites.hosts import AwayHosts, HomeHosts, Lines, RecoveryHosts, SourceHosts, Way
from bascule.model.errors import Underway
from bascule.model.policies import Policy
from bascule.model.vault.item import Command, Protection
from bascule.model.vault.job import Job, JobState
from bascule.model.vault.route import Route
from bascule.ports.sites import Order, RecoveryPoint
from bascule.ports.vault.news import News
from lab.waiting import wait_until
from tests.control.vaults import ITEM, VAULT, Node, start
from tests.front.agents.scenes import House
from tests.front.cli.conftest import Desk


class Estate:
    """A vault, two hosts that joined it, and a store between them."""

    def __init__(self, desk: Desk, cleanup: ExitStack, machine: str = "fake:web?mib=2") -> None:
        self.desk = desk
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.nodes: list[Node] = []
        self.looks = 0
        desk.init()
        self.house = House(desk.path("vault"), tell=self.hear)
        cleanup.enter_context(self.house.open())
        ids = [self.house.join(desk.path(name)).host for name in ("source", "recovery")]
        key = str(desk.path("main.key"))
        self.route = Route(ids[0], machine, ids[1], desk.store, key)
        self.lines = Lines(self.house.behind.postings, self.way_of, self.house.clock.now)
        self.recovery = RecoveryHosts(self.lines)
        self.begin()
        cleanup.callback(self.end)

    def hear(self, news: News) -> None:
        self.nodes[-1].jobs.hear(news)

    def way_of(self, vault: str, item: str) -> Way:
        assert (vault, item) == (VAULT, ITEM)
        found = self.node.item()
        policy = Policy(interval_seconds=1, rpo_threshold_seconds=60, resync_hours="any")
        return Way(found.route, policy, found.bound_for or found.route.source, found.settings)

    def begin(self) -> None:
        """Start a process's part of the vault."""
        catalog = SqlCatalog(str(self.desk.path("catalog.db")))
        ends = Ends(SourceHosts(self.lines), self.recovery, HomeHosts(self.lines), AwayHosts(self.lines))
        sites = FakeSites(self.desk.path("no.db"))
        self.nodes.append(start(catalog, sites, ends=ends, route=self.route))

    @property
    def node(self) -> Node:
        return self.nodes[-1]

    def run(self, name: str, *options: str) -> None:
        """Start a host's provider."""
        self.processes[name] = self.desk.start("provider", "run", self.desk.path(name), *options)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.communicate()

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.node.stop()

    def protect(self) -> None:
        """Enable protection, and wait until the first copy is there."""
        self.node.do(Command.ENABLE)
        self.node.settled()
        failures = [job.failure for job in self.node.jobs.list(VAULT)]
        assert failures == [None, None], failures
        assert self.node.item().protection is Protection.PROTECTED

    def protect_again(self) -> None:
        """Enable protection of what was disabled, to which other jobs than the last two may be known."""
        self.do(Command.ENABLE)
        self.node.settled()
        assert self.node.item().protection is Protection.PROTECTED

    def do(self, command: Command, **input: str) -> Job:
        """Give a command that goes well."""
        job = self.node.do(command, **input)
        assert (job.state, job.failure) == (JobState.SUCCEEDED, None)
        return job

    def points(self) -> tuple[RecoveryPoint, ...]:
        """Ask the recovery side for the points, as somebody does who looks at them."""
        found: list[tuple[RecoveryPoint, ...]] = []
        self.looks += 1
        order = Order(VAULT, ITEM, 0, 0, f"look{self.looks}/points")
        wait_until(partial(_heard, self.recovery, order, found), 20, "the points")
        return found[0]


def _heard(recovery: RecoveryHosts, order: Order, found: list[tuple[RecoveryPoint, ...]]) -> bool:
    try:
        found.append(recovery.points(order))
    except Underway:
        return False
    return True


@pytest.fixture
def desk(capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """A desk in a folder with a short name: below it lie sockets."""
    with tempfile.TemporaryDirectory(prefix="bsc-") as folder:
        yield Desk(Path(folder), capsys)
