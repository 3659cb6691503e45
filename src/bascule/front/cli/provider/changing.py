"""What a vault may have a host do with machines that work on it: leave them, and take them back.

These verbs are of both rooms: what is replicated, in the provider's folder, and what was taken over, in the
store and on the host. Each may be done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bascule.front.cli.tools import Tools
from bascule.model.errors import Refused
from bascule.model.generations import family, number_of
from bascule.model.items import Wish, name_of
from bascule.model.machines import Power
from bascule.model.vault.commands import Command

if TYPE_CHECKING:
    from bascule.recovery.site import Site
    from bascule.replication.provider.folder import ItemFolder, ProviderFolder

_WITHIN_SECONDS = 300.0

OpenSite = Callable[[Command, str], AbstractContextManager["Site"]]
"""Opens the store that a command names, for a host by its words."""


@dataclass(frozen=True, slots=True)
class Sides:
    """A host that machines leave and come to. ``host`` is the one that takes machines over, or empty."""

    tools: Tools
    provider: ProviderFolder
    host: str
    open_site: OpenSite

    def verbs(self) -> Mapping[str, Callable[[Command], str]]:
        """Return the verbs, each by its name."""
        return {
            "hand-over": self._hand_over,
            "take-back": self._take_back,
            "relate": self._relate,
            "release": self._release,
        }

    def _hand_over(self, command: Command) -> str:
        from bascule.front.cli.replica.leaving import Leaving
        from bascule.recovery.pedigree import current

        with self._working(command) as site:
            leaving = Leaving(self.tools, site, self.provider, current(site.vault, command.group))
            return str(leaving.hand_over(_WITHIN_SECONDS))

    def _take_back(self, command: Command) -> str:
        """Replicate on behind the session that a vault names, and run again what was handed over.

        Without a session it is the newest one. What was left for a later generation stays left.
        """
        from bascule.recovery.fail_over import bring_up
        from bascule.recovery.generations import give_back, is_handed_over, refuse_if_left
        from bascule.recovery.pedigree import current
        from bascule.recovery.record import Kind

        item = self._item(command.group)
        with self._working(command) as site:
            log = current(site.vault, command.group)
            head = site.vault.log(log).head()
            session = str(command.arguments.get("session") or (head.entry.session if head else ""))
            if item is not None:
                refuse_if_left(site.vault, item.group)
            if is_handed_over(site.vault, log) and head is not None and head.entry.session == session:
                give_back(site.vault, log, site.who)
                head = site.vault.log(log).head()
                session = head.entry.session if head else ""
                self._run(site, item)
            elif item is not None and (wish := item.wish()) is not None and wish.hand_over:
                self._run(site, item)  # it was begun, and did not come to its end
            record = site.records.that_began(log)
            if record is not None and record.kind is Kind.FAILOVER:
                bring_up(site, record.group)
        if item is not None:
            item.change(lambda wish: wish and replace(wish, hand_over=False, take_over=session))
        return ""

    def _run(self, site: Site, item: ItemFolder | None) -> None:
        wish = item.wish() if item is not None else None
        for name in map(name_of, wish.machines if wish else ()):
            if site.hypervisor.power(name) is Power.PAUSED:  # at rest: it ends, and begins anew
                site.hypervisor.shut_down(name, _WITHIN_SECONDS)
            site.hypervisor.start(name)

    def _relate(self, command: Command) -> str:
        """Replicate machines that were taken over to here, or came home, as the newest generation."""
        from bascule.recovery.pedigree import current, decided
        from bascule.replication.uplink.obeying import wished

        with self.open_site(command, self._own_host()) as site:
            log = current(site.vault, command.group)
            at, kind = decided(site, command.group)
            record = site.records.known(at, kind)
            if record.log != log:
                raise Refused(f"the machines of {log} do not work on this host", code="elsewhere")
            head = site.vault.log(log).head()
            names = [member.definition.name for member in record.members]
            called = tuple(member.machine for member in record.members)
        machines = [f"{self.host}#{name}" for name in names]
        wanted = replace(command, group=log, arguments={**command.arguments, "machines": machines})
        item = self.provider.item(log)
        session = head.entry.session if head else ""

        def changed(before: Wish | None) -> Wish:
            wish = replace(wished(before, wanted), command=command.id, called=called)
            return wish if before and before.command == command.id else replace(wish, take_over=session)

        item.change(changed)
        for other in self.provider.items():
            if family(other.group) == family(log) and other.group != log:
                other.change(lambda _wish: None)
        return log

    def _release(self, command: Command) -> str:
        """Remove what was taken over to here, and replicate none of it, after it went home to stay."""
        from bascule.recovery.fail_over import release
        from bascule.recovery.pedigree import recorded
        from bascule.recovery.record import Kind

        with self.open_site(command, self._own_host()) as site:
            for log in recorded(site, command.group, Kind.FAILOVER):
                release(site, log)
        for item in self.provider.items():
            if family(item.group) == family(command.group):
                item.change(lambda _wish: None)
        return ""

    def _item(self, group: str) -> ItemFolder | None:
        """Return the newest generation of a group that is protected here."""
        mine = [one for one in self.provider.items() if family(one.group) == family(group)]
        return max(mine, key=lambda one: number_of(one.group), default=None)

    @contextmanager
    def _working(self, command: Command) -> Iterator[Site]:
        """Open the host on which the machines of a group work."""
        item = self._item(command.group)
        wish = item.wish() if item is not None else None
        hosts = {machine.rpartition("#")[0] for machine in wish.machines} if wish else {self._own_host()}
        if len(hosts) != 1 or "" in hosts:
            raise Refused(
                f"the machines of {command.group} are named by no host of theirs",
                cure="protect them as HOST#NAME, so that they can be shut down and started",
                code="no-host",
            )
        with self.open_site(command, hosts.pop()) as site:
            yield site

    def _own_host(self) -> str:
        if not self.host:
            raise Refused(
                "this host takes no machines over",
                cure="start its provider with --host, which names the host of machines",
                code="no-host",
            )
        return self.host
