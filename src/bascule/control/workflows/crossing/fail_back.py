"""Failback: a machine that works on the recovery side comes home (R-HV-1 to R-HV-5).

By its data option disks at home are synchronised first, while the machine works on, and a person completes
the failover when it suits; or all of it is downloaded while it is off. Until it is shut down over there a
failback can be cancelled, and nothing at home was touched. From there on there is no way but on; at home it
can still be taken back until it is committed.

Asked for right after a committed failover it replicates the machine back by itself first; taken back, that
ends with it, and all is as the commit left it.
"""

from __future__ import annotations

from bascule.control.jobs.run import Ending, Run
from bascule.model.errors import Cancelled, Refused
from bascule.model.vault.item import Fact
from bascule.ports.sites import Order

from ..ends import Ends

DOWNLOAD, SYNCHRONISE = "download", "synchronise"
_QUESTION = "The disks at home are synchronised. Complete the failover? The machine is shut down over there."


def fail_back(run: Run, ends: Ends) -> Ending:
    """Bring the machine home, to the host that it left or to the one that is named."""
    data = run.input("data") or SYNCHRONISE

    def come_home(order: Order) -> str:
        return ends.home.come_home(order, whole=data == DOWNLOAD)

    try:
        if data not in (DOWNLOAD, SYNCHRONISE):
            raise Refused(
                f"{data!r} is no data option", cure=f"choose {SYNCHRONISE} or {DOWNLOAD}", code="bad-option"
            )
        run.step("check the host at home", ends.home.check)
        if run.is_direct:
            run.step("replicate back", ends.away.relate_back)
            run.until("wait for the first copy of what changed", ends.away.is_seeded_back)
        if data == SYNCHRONISE:
            run.step("synchronise the disks", ends.home.level)
            run.ask("wait for somebody to complete the failover", _QUESTION)
        run.step("shut the machine down over there and send its last changes", ends.away.hand_over)
        point = str(run.step("start the machine at home", come_home, firmly=True))
        return Ending(Fact.CAME_HOME, point=point)
    except Cancelled:
        return Ending(take_away(run, ends, Fact.ABANDONED), is_stopped=True)


def take_away(run: Run, ends: Ends, fact: Fact) -> Fact:
    """Take a failback back: what is at home first, for never do both work. Return what became of the item.

    That is ``fact``, unless the machine was replicated back for this failback only.
    """
    run.step("give the failback up", ends.home.give_up, firmly=True)
    run.step("let the machine work over there", ends.away.take_back, firmly=True)
    if not run.is_direct:
        return fact
    run.step("replicate back no more", ends.away.unrelate_back, firmly=True)
    return Fact.LET_BE
