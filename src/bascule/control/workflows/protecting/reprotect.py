"""Reverse replication: from the side on which the machine works now, only what changed (R-HV-3, R-FB-1)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Command, Fact

from ..ends import Ends


def reprotect(run: Run, ends: Ends) -> Ending:
    """Establish the relationship from over there, or from home again; a job of its own waits for a point."""
    try:
        if run.is_away:
            run.step("replicate back", ends.away.relate_back)
        else:
            run.step("replicate again", ends.home.relate_again)
        return Ending(Fact.RELATED, then=Command.FINALIZE)
    except Cancelled:
        if run.is_away:
            run.step("replicate back no more", ends.away.unrelate_back, firmly=True)
        else:
            run.step("replicate no more", ends.source.unrelate, firmly=True)
        return Ending(Fact.ABANDONED, is_stopped=True)
