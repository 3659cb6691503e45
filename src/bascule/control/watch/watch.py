"""Looks at what hosts said, again and again, and writes down what has changed (R-OP-2, R-W-7, R-P-1).

A look computes what ought to be in the catalog, compares, and writes only the differences, a vault in one
transaction: while nothing changes nothing is written, and whoever is killed amid a look has done nothing.
What a host said is kept from look to look, and read again only where it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event as Flag

import structlog

from bascule.model.errors import Unavailable
from bascule.model.generations import family, number_of
from bascule.model.items import name_of
from bascule.model.policies import Policy
from bascule.model.vault.fabric import ProtectableItem, Server
from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.signs.disk import disks_said
from bascule.model.vault.signs.event import Condition, Event, Health
from bascule.model.vault.signs.health import Facts, item_conditions, server_conditions
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock
from bascule.ports.vault.hosts import Hosts, HostState

log = structlog.get_logger("control.watch")
_STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be written into a vault; ``over`` are conditions that are no more."""

    servers: tuple[Server, ...]
    begun: tuple[Condition, ...]
    over: tuple[Condition, ...]
    machines: tuple[ProtectableItem, ...]
    gone: tuple[ProtectableItem, ...]
    items: tuple[ProtectedItem, ...]

    def __bool__(self) -> bool:
        return any((self.servers, self.begun, self.over, self.machines, self.gone, self.items))


class Watch:
    """Looks at hosts for the vaults of a catalog. ``failures`` counts the looks that found no answer."""

    def __init__(self, catalog: Catalog, hosts: Hosts, clock: Clock) -> None:
        self._catalog = catalog
        self._hosts = hosts
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._states: Mapping[str, HostState] = {}
        self.failures = 0

    def run(self, over: Flag, every_seconds: float = 5.0) -> None:
        """Look until it is over; a place that does not answer is looked at again."""
        while not over.wait(every_seconds):
            try:
                self.look()
            except Unavailable as error:
                self.failures += 1
                log.warning("watch.look_failed", error=str(error))

    def check(self) -> str:
        """Tell when it looked last, or raise Unavailable if that is too long ago."""
        age = self._clock.monotonic() - self._looked_at
        if age > _STALE_SECONDS:
            raise Unavailable(
                f"nobody has looked at what hosts said for {age:.0f} s",
                cure="see the log; if it says nothing of it, restart the server",
            )
        return f"looked {age:.0f} s ago"

    def look(self) -> None:
        """Look once."""
        self._states = states = {state.id: state for state in self._hosts.all(self._states)}
        with self._catalog.reading() as books:
            found = [(vault.name, self._changes(books, vault.name, states)) for vault in books.vaults.list()]
        for vault, changes in found:
            if changes:
                with self._catalog.writing() as books:
                    # Anew, and as the only writer: somebody may have changed the vault meanwhile.
                    self._write(books, vault, self._changes(books, vault, states))
        self._looked_at = self._clock.monotonic()

    def _changes(self, books: Books, vault: str, states: Mapping[str, HostState]) -> Changes:
        now = self._clock.now()
        known = {server.id: server for server in books.servers.list(vault)}
        joined = tuple(_joined(books, vault, states.values(), known))
        servers = {**known, **{server.id: server for server in joined}}
        mine = {host: state for host, state in states.items() if host in servers}
        newest = {host: _newest(state) for host, state in mine.items()}
        said = [(one, newest.get(one.works_at, {}).get(one.id)) for one in books.items.list(vault)]
        policies = {one.id: one.policy for one in books.policies.list(vault)}
        wrong = {one.id: one for one in (*_silent(servers, mine, now), *_ill(said, policies, now))}
        before = {one.id: one for one in books.conditions.list(vault)}
        machines = {one.id: one for one in _machines(servers, mine)}
        listed = {one.id: one for one in books.protectable.list(vault)}
        return Changes(
            joined,
            tuple(one for id, one in wrong.items() if id not in before or before[id].health != one.health),
            tuple(one for id, one in before.items() if id not in wrong),
            tuple(one for id, one in machines.items() if listed.get(id) != one),
            tuple(one for id, one in listed.items() if id not in machines),
            tuple(_with_disks(said)),
        )

    def _write(self, books: Books, vault: str, changes: Changes) -> None:
        now = self._clock.now()
        for server in changes.servers:
            books.servers.put(server)
            log.info("watch.host_joined", vault=vault, host=server.id, fabric=server.fabric)
        for machine in changes.machines:
            books.protectable.put(machine)
        for machine in changes.gone:
            books.protectable.remove(vault, machine.id)
        for item in changes.items:
            books.items.save(item)
        for one in changes.begun:
            books.conditions.put(one)
            books.events.add(Event(vault, now, one.subject, one.code, one.health, one.message, one.cure))
            log.warning("watch.condition_began", vault=vault, item=one.subject, code=one.code)
        for one in changes.over:
            books.conditions.remove(vault, one.id)
            books.events.add(Event(vault, now, one.subject, one.code, Health.HEALTHY, f"over: {one.message}"))
            log.info("watch.condition_ended", vault=vault, item=one.subject, code=one.code)


_NO_POLICY = Policy()
Said = Sequence[tuple[ProtectedItem, Facts | None]]
"""Items, and what was said last of each where it works."""


def _silent(
    servers: Mapping[str, Server], states: Mapping[str, HostState], now: float
) -> Iterator[Condition]:
    for server in servers.values():
        state = states.get(server.id)
        yield from server_conditions(server, state.seen_at if state else None, now)


def _with_disks(said: Said) -> Iterator[ProtectedItem]:
    """Yield items that have other disks than is known, with them. Until somebody names any they stay."""
    for item, facts in said:
        disks = disks_said(facts) if facts and item.protection is not Protection.UNPROTECTED else ()
        if disks and disks != item.disks:
            yield replace(item, disks=disks)


def _ill(said: Said, policies: Mapping[str, Policy], now: float) -> Iterator[Condition]:
    for item, facts in said:
        yield from item_conditions(item, policies.get(item.route.policy, _NO_POLICY), facts, now)


def _joined(
    books: Books, vault: str, states: Iterable[HostState], known: Mapping[str, Server]
) -> Iterator[Server]:
    """Yield the hosts that joined by a key of the vault's, or joined again, as they are to be known."""
    fabrics = {one.id: one.fabric for one in books.enrolments.list(vault)}
    for state in states:
        if state.key in fabrics:
            names = (vault, state.id, fabrics[state.key], state.name)
            found = Server(*names, state.registered_at, state.is_revoked)
            if known.get(state.id) != found:
                yield found


def _machines(servers: Mapping[str, Server], states: Mapping[str, HostState]) -> Iterator[ProtectableItem]:
    for host, state in states.items():
        server = servers[host]
        if not server.is_revoked:
            for machine, said in state.machines.items():
                place = (server.vault, f"{host}.{name_of(machine)}", server.fabric, host)
                yield ProtectableItem(*place, machine, disks_said({"disks": said}))


def _newest(state: HostState) -> Mapping[str, Facts]:
    """Return what a host said of each group: of the newest generation of it, where it has several."""
    return {family(group): state.groups[group] for group in sorted(state.groups, key=number_of)}
