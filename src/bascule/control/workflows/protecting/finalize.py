"""Finalize protection: when initial replication has ended, settings are applied (R-P-4)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.vault.item import Fact

from ..ends import Ends


def finalize(run: Run, ends: Ends) -> Ending:
    """Wait for the first copy, however long it takes, and make the item protected.

    Cancelled, it leaves the copy going on: it can be asked for again, or protection be disabled.
    """
    run.until(
        "wait for initial replication", ends.away.is_seeded_back if run.is_away else ends.source.is_seeded
    )
    if not run.is_away:
        run.step("apply the settings", ends.recovery.settle)
    return Ending(Fact.SEEDED)
