"""Planned failover: the machine is shut down, its last changes follow, and it starts over there (R-FO-2)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order, Purpose

from ..ends import Ends
from .fail_over import take_back


def planned_fail_over(run: Run, ends: Ends) -> Ending:
    """Lose nothing: what the source handed over is all that the machine ever wrote."""

    def start(order: Order) -> str:
        return ends.recovery.start(order, point, Purpose.FAILOVER)

    try:
        run.step("check the recovery side", ends.recovery.check)
        run.step("shut the machine down and send its last changes", ends.source.hand_over)
        point = str(run.step("choose the point", ends.recovery.latest_point))
        run.step("start the machine", start)
        return Ending(Fact.STARTED, point=point)
    except Cancelled:
        take_back(run, ends)
        return Ending(Fact.ABANDONED, is_stopped=True)
