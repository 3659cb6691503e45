"""Update of target settings: what the machine is to be on the recovery side (R-FO-4)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.ports.sites import Order

from ..ends import Ends


def update(run: Run, ends: Ends) -> Ending:
    """Have the recovery side keep the settings, for every later failover and test."""

    def reshape(order: Order) -> None:
        ends.recovery.reshape(order, run.input("settings"))

    run.step("keep the settings", reshape)
    return Ending(None, settings=run.input("settings"))
