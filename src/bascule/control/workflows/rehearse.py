"""Test failover and its clean-up: a machine beside the real one, while replication goes on (R-FO-1)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order, Purpose

from .ends import Ends


def rehearse(run: Run, ends: Ends) -> Ending:
    """Start a copy of the machine at a point, the latest if none is named.

    It is plugged in where that was said before, unless the command names a network, or none.
    """

    network = "" if run.input("plug_in") == "nowhere" else run.input("network") or None

    def start(order: Order) -> str:
        return ends.recovery.start(order, point, Purpose.TEST, network)

    try:
        run.step("check the recovery side", ends.recovery.check)
        latest = run.step("choose the point", ends.recovery.latest_point)
        point = run.input("point") or str(latest)
        run.step("start the test machine", start)
        return Ending(Fact.TEST_STARTED)
    except Cancelled:
        return clean_up(run, ends, is_stopped=True)


def clean_up(run: Run, ends: Ends, *, is_stopped: bool = False) -> Ending:
    """Remove all of a test."""

    def remove(order: Order) -> None:
        ends.recovery.remove(order, Purpose.TEST)

    run.step("remove the test machine", remove, firmly=True)
    return Ending(Fact.CLEANED, is_stopped=is_stopped)
