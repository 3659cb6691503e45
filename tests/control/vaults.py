"""A vault with one item, as a process of the product puts it together, and the story of the item's life."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bascule.apps.chance import SystemClock, SystemIds
from bascule.control.jobs.jobs import Jobs
from bascule.control.jobs.queue import DurableQueue
from bascule.control.jobs.runner import Runner, Workflow
from bascule.control.workflows.book import workflows
from bascule.control.workflows.ends import Ends
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.errors import Exists
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Job, JobState
from bascule.model.vault.route import NOWHERE, Route
from bascule.model.vault.vault import Vault
from bascule.ports.nodes import Nodes
from lab.waiting import wait_until

VAULT, ITEM = "north", "web"


class QuickClock(SystemClock):
    """A clock that does not wait long for what does not answer."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 100)


@dataclass
class Node:
    """One process of a vault; a machine may have several, a process one."""

    catalog: SqlCatalog
    queue: DurableQueue
    jobs: Jobs
    sites: FakeSites
    runner: Runner
    nodes: Nodes

    def item(self) -> ProtectedItem:
        with self.catalog.reading() as books:
            return books.items.get(VAULT, ITEM)

    def do(self, command: Command, **input: str) -> Job:
        """Give a command and return its job when it has ended or waits."""
        return self.ended(self.jobs.submit(VAULT, ITEM, command, input, by="anna"))

    def ended(self, job: Job) -> Job:
        def is_over() -> bool:
            found = self.jobs.get(VAULT, job.id)
            return found.is_ended or found.state is JobState.WAITING

        wait_until(is_over, 60, f"the end of {job.command}")
        return self.jobs.get(VAULT, job.id)

    def settled(self) -> None:
        """Wait until no job of the vault goes on, or only one that waits for a person."""
        wait_until(lambda: not self._going_on(), 60, "the last job's end")

    def _going_on(self) -> list[Job]:
        jobs = self.jobs.list(VAULT)
        return [job for job in jobs if not job.is_ended and job.state is not JobState.WAITING]

    def stop(self) -> None:
        self.runner.stop(self.nodes)
        self.catalog.close()
        # Else the next test's queue finds the standard error of this one there, closed.
        logging.getLogger("dbos").handlers.clear()


def start(
    catalog: SqlCatalog,
    sites: FakeSites,
    instead: Mapping[Command, Workflow] | None = None,
    ends: Ends | None = None,
    route: Route = NOWHERE,
) -> Node:
    """Start a process's part of a vault."""
    clock, ids = QuickClock(), SystemIds()
    queue = DurableQueue(catalog.engine, ids.random(8).hex(), workers=4, poll_seconds=0.02)
    jobs = Jobs(catalog, queue, clock, ids)
    try:
        with catalog.writing() as books:
            books.vaults.add(Vault(VAULT))
            books.items.add(ProtectedItem(ITEM, VAULT, "Web server", route=route))
    except Exists:
        pass  # an earlier process of this vault did
    runner, nodes = Runner(jobs, catalog, queue, clock, ids), catalog.nodes()
    runner.serve(
        {**workflows(ends or Ends(sites, sites, sites.home, sites.away)), **(instead or {})},
        nodes,
        every_seconds=0.2,
    )
    return Node(catalog, queue, jobs, sites, runner, nodes)


LIFE: tuple[tuple[Command, Mapping[str, str]], ...] = (
    (Command.ENABLE, {}),
    (Command.RESYNC, {}),
    (Command.TEST_FAIL_OVER, {}),
    (Command.CLEAN_UP, {}),
    (Command.FAIL_OVER, {"point": "web/1"}),
    (Command.CHANGE_POINT, {"point": "web/2"}),
    (Command.CANCEL, {}),
    (Command.UPDATE, {"settings": "{}"}),
    (Command.FOLLOW_POLICY, {}),
    (Command.PLANNED_FAIL_OVER, {}),
    (Command.COMMIT, {}),
    (Command.REPROTECT, {}),
    (Command.FOLLOW_POLICY, {}),
    (Command.FAIL_BACK, {}),
    (Command.CANCEL, {}),
    (Command.FAIL_BACK, {"data": "download", "host": "other"}),
    (Command.COMMIT, {}),
    (Command.REPROTECT, {}),
    (Command.FAIL_OVER, {"shut_down": "yes"}),
    (Command.COMMIT, {}),
    (Command.FAIL_BACK, {}),
    (Command.CANCEL, {}),
    (Command.FAIL_BACK, {}),
    (Command.COMMIT, {}),
    (Command.REPROTECT, {}),
    (Command.FAIL_OVER, {}),
    (Command.COMMIT, {}),
    (Command.DISABLE, {}),
)
"""One command of each kind; every state of an item is passed."""


def live(node: Node) -> None:
    """Carry an item through the rest of its life, wherever it was left."""
    while True:
        node.settled()
        for job in node.jobs.list(VAULT):
            if job.state is JobState.WAITING:
                node.jobs.resume(VAULT, job.id, "yes")
                node.settled()
        if node.item().protection is Protection.SEEDING:
            node.jobs.submit(VAULT, ITEM, Command.FINALIZE)  # somebody had cancelled it
            node.settled()
        told = lived(node)
        if len(told) == len(LIFE):
            return
        command, input = LIFE[len(told)]
        node.jobs.submit(VAULT, ITEM, command, input)


def lived(node: Node) -> list[Job]:
    """Return the jobs of the life that ended, but for those that were cancelled: these are given again."""
    jobs = node.jobs.list(VAULT)
    done = [job for job in jobs if job.is_ended and job.state is not JobState.CANCELLED]
    return [job for job in done if job.command is not Command.FINALIZE]
