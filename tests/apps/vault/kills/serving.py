"""``bascule serve`` that is killed again and again: ``python -m …kills.serving DEATHS MOMENTS WORDS…``.

What follows is the command line of the product, and what runs is its code. It dies by SIGKILL, once at each
place of these moments:

    committed  something about a job was written down: that it is, a task begun or ended, its end
    ordered    a host was told to do something, and nothing was done since
    told       a host said what became of it, and nobody has looked at that

Who waits by the clock for what a kill swallowed (a wake-up, a dead node's jobs) waits for less: it is the
same code with smaller numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.apps import command_line, logs
from bascule.apps.tools import SystemTools
from bascule.control.jobs import run as running
from bascule.control.jobs.queue import DurableQueue
from bascule.control.jobs.runner import Runner
from bascule.drivers.catalog.books import SqlBooks
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.postings import SqlPostings
from bascule.model.vault.commands import Command, Result
from bascule.ports.vault.postings import Posting

from .dying import Deaths, live_again_and_again

VAULT = "north"
_SOON_SECONDS = 0.5


def hurry() -> None:
    """Let what waits by the clock wait for less."""
    running.LOOK_SECONDS = _SOON_SECONDS
    running.Run.until.__defaults__ = (_SOON_SECONDS,)
    Runner.serve.__defaults__ = (_SOON_SECONDS,)
    assert DurableQueue.__init__.__kwdefaults__ is not None
    DurableQueue.__init__.__kwdefaults__["poll_seconds"] = 0.05


def die_of(deaths: Deaths, moments: set[str]) -> None:
    """Let this process die at places of these moments."""
    if "committed" in moments:
        SqlCatalog.writing = _committing(deaths)
    if "ordered" in moments:
        SqlPostings.ask = _ordering(deaths)
    if "told" in moments:
        SqlHosts.exchange = _telling(deaths)


def _committing(deaths: Deaths):
    begin = SqlCatalog.writing

    @contextmanager
    def writing(self: SqlCatalog) -> Iterator[SqlBooks]:
        with begin(self) as books:
            yield books
        with self.reading() as seen:
            jobs = seen.jobs.list(VAULT) if any(one.name == VAULT for one in seen.vaults.list()) else ()
        for number, job in enumerate(reversed(jobs)):
            tasks = ", ".join(f"{task.name} {task.state}" for task in job.tasks)
            deaths.die_at(f"committed {number} {job.command} {job.state}: {tasks}")

    return writing


def _ordering(deaths: Deaths):
    ask = SqlPostings.ask

    def asked(self: SqlPostings, posting: Posting) -> Result | None:
        result = ask(self, posting)
        if posting.generation:
            deaths.die_at(f"ordered {posting.verb} {posting.id}")
        return result

    return asked


def _telling(deaths: Deaths):
    exchange = SqlHosts.exchange

    def exchanged(
        self: SqlHosts, host: str, after: int, results: tuple[Result, ...], limit: int
    ) -> tuple[Command, ...]:
        found = exchange(self, host, after, results, limit)
        for one in results:
            deaths.die_at(f"told {one.id}")
        return found

    return exchanged


def main(deaths: str, moments: str, *words: str) -> int:
    """Serve, from one death to the next."""
    tools = SystemTools(owns_process=True)
    logs.install({**tools.settings})
    hurry()
    die_of(Deaths(Path(deaths)), set(moments.split(",")))
    _load()
    return live_again_and_again(lambda: command_line.run(["serve", *words], SystemTools(owns_process=True)))


def _load() -> None:
    """Load in the parent what each life would load."""
    from bascule.apps.vault import server
    from bascule.front.cli.app import command

    assert server.run
    assert command("serve")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
