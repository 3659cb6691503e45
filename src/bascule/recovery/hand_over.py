"""Hand over: the machines are shut down, their last changes become a point, and the log says so (R-FO-2).

Order: every guest powers off, and its machine rests with what it recorded; the last point is published;
the log says that nothing is missing behind it; the power is cut. So the other side can take the
machines over and lose nothing. Interrupted, it is asked for again; a guest that does not power off runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import generations
from .site import Site


def hand_over(
    site: Site, group: str, names: Sequence[str], make_point: Callable[[], object], seconds: float
) -> None:
    """Give the machines of a group to the other side; ``make_point`` replicates what they hold."""
    if not generations.is_handed_over(site.vault, group):
        generations.refuse_if_left(site.vault, group)
        for name in names:
            site.say(f"shutting {name} down")
            site.hypervisor.rest(name, seconds)
        site.say("sending the last changes")
        make_point()
        generations.hand_over(site.vault, group, site.who)
    for name in names:
        site.hypervisor.cut_power(name)
