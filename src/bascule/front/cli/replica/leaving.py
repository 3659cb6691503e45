"""Leaving machines to the other side, by whoever asks: a command, or a vault."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bascule.front.cli.tools import Tools

if TYPE_CHECKING:
    from bascule.model.items import Wish
    from bascule.recovery.site import Site
    from bascule.replication.members import Member
    from bascule.replication.provider.folder import ProviderFolder

_WAITS_SECONDS = 120.0
_LOOK_SECONDS = 0.1


class Leaving:
    """The machines of a generation that work on this host, about to be left to the other side.

    Refused for what is not here. ``provider`` is the one that replicates them, if there is one.
    """

    def __init__(self, tools: Tools, site: Site, provider: ProviderFolder | None, log: str) -> None:
        from bascule.recovery.hand_over import refuse_elsewhere

        self.log = log
        self.members = _members(site, log)
        self._tools = tools
        self._site = site
        self._provider = provider
        refuse_elsewhere(site, log, list(self.members))

    def hand_over(self, seconds: float) -> int:
        """Shut them down, send their last changes, and say so in the log; return the last point."""
        from bascule.recovery.hand_over import hand_over
        from bascule.replication.replicator import Names, Replicator, World

        site, tools = self._site, self._tools
        if self._provider is not None:
            _let_go(tools, self._provider, self.log)
        world = World(site.vault, tools.clock, tools.open_source, site.conduct)
        replicator = Replicator(world, list(self.members.values()), Names(self.log, tools.who))

        def make_point() -> None:
            try:
                replicator.cycle()
            finally:
                replicator.close()

        hand_over(site, self.log, list(self.members), make_point, seconds)
        with site.vault.peek(self.log) as newest:
            return newest.info.number


def _members(site: Site, log: str) -> dict[str, Member]:
    """Return the machines of a group by their names on this host."""
    from bascule.recovery.shapes.shape import Shape
    from bascule.replication.members import Member

    with site.vault.peek(log) as point:
        names = {machine.id: Shape().of(machine).name for machine in point.info.machines}
    return {
        name: Member(machine, partial(site.hypervisor.adopt, name), partial(site.hypervisor.definition, name))
        for machine, name in names.items()
    }


def _let_go(tools: Tools, place: ProviderFolder, log: str) -> None:
    """Have the provider of this host let go of a group, if there is one and it lives."""
    from bascule.model.errors import Unavailable
    from bascule.model.items import State

    item = place.item(log)
    if item.stamp() is None:
        return
    item.change(_handed)
    deadline = tools.clock.monotonic() + _WAITS_SECONDS
    while place.heartbeat().is_running and item.facts().state not in (State.HANDED_OVER, State.FENCED):
        if tools.clock.monotonic() > deadline:
            raise Unavailable(
                f"the provider in {place.path} does not let go of {log}", cure="look at `bascule status`"
            )
        tools.clock.sleep(_LOOK_SECONDS)


def _handed(wish: Wish | None) -> Wish | None:
    return None if wish is None else replace(wish, hand_over=True)
