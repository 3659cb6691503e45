"""A vault that is killed again and again: ``python -m tests.control.killing CATALOG WORLD MOMENT``.

Each life of the vault is a process of its own, ended by SIGKILL at a moment at which none has died before:

    before     an effect outside is about to happen
    after      it has happened, and nobody has written down that it did
    committed  something about a job was written down, and nothing was done since
    cancelled  an effect outside has happened and somebody cancels its job; and again after each effect by
               which the job then takes back what it did

So it dies once at every step of every workflow, and comes back. The parent forks, for then Python and its
packages are loaded once. Ends when the item has lived its life, and prints how often the vault was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from bascule.drivers.catalog.books import SqlBooks
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.vault.job import Act, JobId
from tests.control import vaults


class Deaths:
    """The places at which the vault has died, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, place: str) -> bool:
        return self._path.exists() and place in self._path.read_text().splitlines()

    def die_at(self, place: str) -> None:
        """Kill this process unless it died here before."""
        if not self.has(place):
            with self._path.open("a") as file:
                file.write(f"{place}\n")
            os.kill(os.getpid(), signal.SIGKILL)


class DyingCatalog(SqlCatalog):
    """A catalog whose process dies after what it committed of a job: a state, a task begun or ended."""

    deaths: Deaths

    @contextmanager
    def writing(self) -> Iterator[SqlBooks]:
        with super().writing() as books:
            yield books
        if hasattr(self, "deaths"):
            with self.reading() as seen:
                for job in seen.jobs.list(vaults.VAULT):
                    tasks = [f"{task.name} {task.state}" for task in job.tasks]
                    self.deaths.die_at(f"{job.id} {job.attempt} {job.state} {tasks}")


def once(words: str, world: Path, moment: str) -> None:
    """Live until the end, or until the next place to die at."""
    deaths = Deaths(world.with_suffix(".deaths"))
    sites = FakeSites(world)
    has_begun = threading.Event()

    def interrupt(verb: str, token: str, now: str) -> None:
        if now == moment:
            deaths.die_at(f"{verb} {token} {now}")
        elif (moment, now) == ("cancelled", "after"):
            has_begun.wait()  # a job of an earlier life may go on before there is a node to ask
            job = node.jobs.get(vaults.VAULT, JobId(token.partition("/")[0]))
            # Told by the command's place in the life: a command that was cancelled is given again.
            place = f"{len(vaults.lived(node))} {verb} {job.is_cancelling}"
            if Act.CANCEL in job.allowed() and not deaths.has(place):
                node.jobs.cancel(vaults.VAULT, job.id)
            deaths.die_at(place)

    sites.interrupt = interrupt
    catalog = DyingCatalog(words)
    if "://" not in words:
        # What is in it only has to outlive processes, not the power.
        catalog.engine.dispose()
        sa.event.listen(catalog.engine, "connect", _hurry)
    if moment == "committed":
        catalog.deaths = deaths
    node = vaults.start(catalog, sites)
    has_begun.set()
    vaults.live(node)


def _hurry(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


def main(words: str, world: str, moment: str) -> int:
    """Let one process after another live, and say how many were killed."""
    killed = 0
    while True:
        child = os.fork()
        if not child:
            code = 1
            try:
                once(words, Path(world), moment)
                code = 0
            finally:  # a child of fork never returns into its parent's code
                if code:
                    traceback.print_exc()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stdout.write(f"\n{killed}\n")  # a log line may have been cut short by a death
            return os.waitstatus_to_exitcode(status)
        killed += 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
