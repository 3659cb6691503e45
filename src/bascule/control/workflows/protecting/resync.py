"""Resynchronise now: the replica is made equal again, block by block (R-R-2)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact

from ..ends import Ends


def resync(run: Run, ends: Ends) -> Ending:
    """Ask for it, and wait until it has ended. Cancelled, nobody waits any more, and it goes on."""
    try:
        number = int(run.step("begin the resynchronisation", ends.source.resync) or 0)
        run.until("wait until the sides are equal", lambda order: ends.source.is_equal(order, number))
        return Ending(Fact.RESYNCED)
    except Cancelled:
        return Ending(Fact.RESYNC_STOPPED, is_stopped=True)
