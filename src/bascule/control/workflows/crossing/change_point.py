"""Change the point of a failover that is not committed (R-RP-4)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled, Refused
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order, Purpose

from ..ends import Ends


def change_point(run: Run, ends: Ends) -> Ending:
    """Start the machine anew from another point. There is no way back once the old one is being removed."""

    def remove(order: Order) -> None:
        ends.recovery.remove(order, Purpose.FAILOVER)

    def start(order: Order) -> str:
        return ends.recovery.start(order, point, Purpose.FAILOVER)

    point = run.input("point")
    try:
        if not point:
            raise Refused("no point was named", cure="cancel the failover, or ask with a point")
        run.step("check the recovery side", ends.recovery.check)
    except Cancelled:
        return Ending(Fact.STARTED, is_stopped=True)
    run.step("remove the machine", remove, firmly=True)
    run.step("start it at the other point", start, firmly=True)
    return Ending(Fact.STARTED, point=point)
