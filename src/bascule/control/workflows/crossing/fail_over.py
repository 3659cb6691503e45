"""Unplanned failover to a point, and how one is taken back (R-FO-2, R-FO-5).

The source is fenced before a point is chosen: from there on no old writer can publish, so *latest* stays
latest. Asked to, the source shuts its machine down before that and sends what it wrote. It is a disaster, so
nobody waits for a host that is not heard of, nor for long for one that is: the task says what was not done.
A host that is late shuts its machine down even so; by then it is fenced, and sends nothing.
"""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order, Purpose

from ..ends import Ends

_PATIENCE_SECONDS = 420.0
"""A guest has five minutes to power off, and its last changes follow."""


def fail_over(run: Run, ends: Ends) -> Ending:
    """Start the machine on the recovery side at a point, the latest if none is named."""

    def start(order: Order) -> str:
        return ends.recovery.start(order, point, Purpose.FAILOVER)

    def shut_down(order: Order) -> None:
        ends.source.look(order)
        ends.source.hand_over(order)

    try:
        run.step("check the recovery side", ends.recovery.check)
        if run.input("shut_down") == "yes":
            run.attempt("shut the machine down and send its last changes", shut_down, _PATIENCE_SECONDS)
        run.step("fence the source", ends.recovery.fence)
        latest = run.step("choose the point", ends.recovery.latest_point)
        point = run.input("point") or str(latest)
        run.step("start the machine", start)
        return Ending(Fact.STARTED, point=point)
    except Cancelled:
        take_back(run, ends)
        return Ending(Fact.ABANDONED, is_stopped=True)


def take_back(run: Run, ends: Ends) -> None:
    """Take a failover back, with all that its machine wrote."""

    def remove(order: Order) -> None:
        ends.recovery.remove(order, Purpose.FAILOVER)

    # The machine first: once the fence is gone the source goes on, and never do both work.
    run.step("remove the machine", remove, firmly=True)
    run.step("let the source go on", ends.recovery.let_go, firmly=True)
