"""Disable protection: the relationship, the points and every leftover go, on both sides (R-P-6)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order, Purpose

from ..ends import Ends


def disable(run: Run, ends: Ends) -> Ending:
    """Remove it all. When the command says that the source is gone it is passed over, with a warning."""
    warning = ""
    if run.input("source_is_gone") == "yes":
        warning = str(run.step("pass over the source, which is gone", ends.source.leave, firmly=True))
    else:
        run.step("remove the relationship", ends.source.unrelate, firmly=True)
    if run.is_away:
        run.step("replicate back no more", ends.away.unrelate_back, firmly=True)

    def remove_test(order: Order) -> None:
        ends.recovery.remove(order, Purpose.TEST)

    run.step("remove what a test left", remove_test, firmly=True)
    run.step("remove the points", ends.recovery.forget, firmly=True)
    return Ending(Fact.REMOVED, point="", warning=warning)
