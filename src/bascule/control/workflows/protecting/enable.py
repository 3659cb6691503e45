"""Enable protection: prerequisites, then the relationship, which starts initial replication (R-P-2)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.hours import time_of_day
from bascule.model.vault.item import Command, Fact

from ..ends import Ends


def enable(run: Run, ends: Ends) -> Ending:
    """Establish the relationship, at the policy's time if it names one (R-P-5).

    A job of its own waits for the first copy and finalises.
    """
    try:
        run.step("check the source", ends.source.check)
        run.step("check the recovery side", ends.recovery.check)
        if time := run.input("first_copy_at"):
            run.rest("wait for the time of initial replication", time_of_day(time))
        run.step("establish the relationship", ends.source.relate)
        return Ending(Fact.RELATED, then=Command.FINALIZE)
    except Cancelled:
        run.step("take the relationship back", ends.source.unrelate, firmly=True)
        run.step("remove the points", ends.recovery.forget, firmly=True)
        return Ending(Fact.ABANDONED, is_stopped=True)
