"""Commit a failover or a failback: it stays, and the other points go (R-FO-3, R-HV-3)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact

from ..ends import Ends


def commit(run: Run, ends: Ends) -> Ending:
    """Let it stay. Which point it stands on is asked of the side where the machine works, not of us."""
    try:
        if run.is_returning:
            run.step("check the host at home", ends.home.check)
        else:
            run.step("check the recovery side", ends.recovery.check)
    except Cancelled:
        return Ending(Fact.LEFT_OPEN, is_stopped=True)
    if run.is_returning:
        run.step("remove the other points", ends.home.keep, firmly=True)
        run.step("remove what worked over there", ends.away.release, firmly=True)
    else:
        run.step("remove the other points", ends.recovery.keep_only, firmly=True)
    return Ending(Fact.COMMITTED)
