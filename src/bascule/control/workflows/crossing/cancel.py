"""Cancel a failover or a failback that is not committed (R-FO-5, R-HV-5)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.vault.item import Fact

from ..ends import Ends
from .fail_back import take_away
from .fail_over import take_back


def cancel(run: Run, ends: Ends) -> Ending:
    """Take it back, with all that its machine wrote; which of the two it is the item says."""
    if run.is_returning:
        fact = take_away(run, ends, Fact.STAYED_AWAY)
        return Ending(fact, point="")
    take_back(run, ends)
    return Ending(Fact.CANCELLED, point="")
