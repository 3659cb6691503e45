"""A policy that was changed reaches the host that replicates by it (R-P-5)."""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run

from ..ends import Ends


def follow_policy(run: Run, ends: Ends) -> Ending:
    """Tell the host on which the machine works; one that is away is not waited for, with a warning."""
    follow = ends.away.follow_back if run.is_away else ends.source.follow
    return Ending(None, warning=str(run.step("tell the host of the policy", follow) or ""))
