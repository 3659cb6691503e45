"""Commit a failover: it stays, and the other points go (R-FO-3)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact

from .ends import Ends


def commit(run: Run, ends: Ends) -> Ending:
    """Let the failover stay. Which point it stands on is asked of the recovery side's machine, not of us."""
    try:
        run.step("check the recovery side", ends.recovery.check)
    except Cancelled:
        return Ending(Fact.ABANDONED, is_stopped=True)
    run.step("remove the other points", ends.recovery.keep_only, firmly=True)
    return Ending(Fact.COMMITTED)
