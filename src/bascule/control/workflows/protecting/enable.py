"""Enable protection: prerequisites, then the relationship, which starts initial replication (R-P-2)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Command, Fact

from ..ends import Ends


def enable(run: Run, ends: Ends) -> Ending:
    """Establish the relationship; a job of its own waits for the first copy and finalises."""
    try:
        run.step("check the source", ends.source.check)
        run.step("check the recovery side", ends.recovery.check)
        run.step("establish the relationship", ends.source.relate)
        return Ending(Fact.RELATED, then=Command.FINALIZE)
    except Cancelled:
        run.step("take the relationship back", ends.source.unrelate, firmly=True)
        run.step("remove the points", ends.recovery.forget, firmly=True)
        return Ending(Fact.ABANDONED, is_stopped=True)
