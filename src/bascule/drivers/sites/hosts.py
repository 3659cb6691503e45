"""Both ends of replications on hosts that registered with the vault.

An order becomes a command to a host, which is there until the host has carried it out, however long that is
away, and its answer is kept (``ports.vault.postings``). So nobody waits here: an order whose answer is not
there yet is Underway. That a copy has ended, or a group is gone, is a fact that the host reports.

The route of an item says which hosts its ends are. Its group on a host and in the store has the item's id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zlib import crc32

from bascule.model.errors import Refused, Unavailable, Underway
from bascule.model.items import Headway
from bascule.model.policies import Policy
from bascule.model.vault.commands import Json, Result
from bascule.model.vault.route import Route
from bascule.ports.sites import Order, Purpose, RecoveryPoint, Waiting
from bascule.ports.vault.postings import Posting, Postings, Standing

_SILENT_SECONDS = 90.0
"""Longer than a host that is in touch says nothing."""

_REPLICATING = {"replicating", "machine is off"}


@dataclass(frozen=True, slots=True)
class Way:
    """How an item is replicated, to which host it would come home, and what it is to be over there."""

    route: Route
    policy: Policy
    home: str
    settings: str = ""


WayOf = Callable[[str, str], Way]
"""Returns the way of an item of a vault."""


class Lines:
    """Asks hosts, for both ends. Safe to use from several threads."""

    def __init__(self, postings: Postings, way_of: WayOf, now: Callable[[], float]) -> None:
        self._postings = postings
        self._way_of = way_of
        self._now = now

    def route(self, order: Order) -> Route:
        """Return the route of the item that is meant."""
        return self._way_of(order.vault, order.item).route

    def home(self, order: Order) -> str:
        """Return the host to which the item would come home."""
        return self._way_of(order.vault, order.item).home

    def place(self, order: Order) -> dict[str, Json]:
        """Return where points are, and what opens it."""
        route = self.route(order)
        return {"store": route.store, "key_file": route.key_file}

    def disks(self, order: Order) -> dict[str, Json]:
        """Return which disks are replicated; nothing if all are, as then nobody has to be told."""
        disks = self.route(order).disks
        return {"include": list(disks)} if disks else {}

    def settings(self, order: Order) -> dict[str, Json]:
        """Return what the machine is to be on the recovery side; nothing if it is to be as it was."""
        settings = self._way_of(order.vault, order.item).settings
        return {"settings": settings} if settings else {}

    def wish(self, order: Order) -> dict[str, Json]:
        """Return what the source is to protect, and how."""
        replicated = {**self.place(order), **self.disks(order), "policy": self.policy(order)}
        return {"machines": [self.route(order).machine], **replicated}

    def policy(self, order: Order) -> dict[str, Json]:
        """Return how points are to be made and kept."""
        policy = self._way_of(order.vault, order.item).policy
        return {
            "interval_seconds": policy.interval_seconds,
            "retention": policy.retention,
            "rpo_threshold_seconds": policy.rpo_threshold_seconds,
            "resync_hours": policy.resync_hours,
            **{"app_consistent_seconds": policy.app_consistent_seconds, "agent": policy.agent},
        }

    def ask(self, order: Order, host: str, verb: str, arguments: Mapping[str, Json]) -> Result | None:
        """Have a host do something; None while it has not told what became of it."""
        if not host:
            raise Refused(
                f"{order.item} has no route: nobody knows which host it is on",
                cure="disable protection, and enable it with a route",
                code="no-route",
            )
        rank = (order.generation, order.turn)
        posting = Posting(host, _id(order), verb, order.item, order.item, *rank, arguments)
        result = self._postings.ask(posting)
        if result is not None and not result.is_done:
            raise result.error()
        return result

    def answer(self, order: Order, host: str, verb: str, arguments: Mapping[str, Json]) -> Result:
        """Have a host do something and return what became of it; Underway until that is known."""
        result = self.ask(order, host, verb, arguments)
        if result is None:
            standing = self._postings.standing(host, _id(order))
            raise Waiting(self._why(host, verb, standing), standing.headway)
        return result

    def follow(self, order: Order, host: str) -> str:
        """Have a host follow the item's policy; one that is away does when it is back, says what is returned.

        An item whose host is down must be free for a failover.
        """
        if self.ask(order, host, "follow-policy", {"policy": self.policy(order)}) is not None:
            return ""
        standing = self._postings.standing(host, _id(order))
        if silence := self._silence(host, standing):
            return f"{silence}: it follows the policy as it was until it is back"
        raise Waiting(self._why(host, "follow-policy", standing))

    def look(self, host: str) -> None:
        """Raise Unavailable if a host was not heard of lately."""
        seen_at = self._postings.standing(host, "").seen_at
        if seen_at is None or self._now() - seen_at > _SILENT_SECONDS:
            since = "since it joined" if seen_at is None else f"for {self._now() - seen_at:.0f} s"
            raise Unavailable(
                f"nothing was heard of host {host} {since}",
                cure="see that the machine is off over there before anybody uses it",
                code="silent",
            )

    def _why(self, host: str, verb: str, standing: Standing) -> str:
        """Say what keeps a host from having answered, as far as that is known."""
        if silence := self._silence(host, standing):
            return f"{silence}: {verb} waits until it is back"
        if standing.before:
            return f"host {host} is to end {', '.join(standing.before)} first, then {verb}"
        return f"host {host} was told to {verb}, and has not said what became of it"

    def _silence(self, host: str, standing: Standing) -> str:
        """Say since when a host was not heard of, empty for one that is in touch."""
        if standing.seen_at is None:
            return f"host {host} has never been heard of since it joined"
        if self._now() - standing.seen_at <= _SILENT_SECONDS:
            return ""
        since = datetime.fromtimestamp(standing.seen_at, UTC).isoformat(timespec="seconds")
        return f"host {host} was not heard of since {since}"

    def waited_for(self, order: Order, host: str) -> Waiting:
        """Return what is waited for while a host copies or compares, by what it said last."""
        said = self.said(order, host) or {}
        trouble, state = said.get("trouble"), said.get("state", "not begun")
        why = f": {trouble.get('message')}" if isinstance(trouble, Mapping) else ""
        if silence := self._silence(host, self._postings.standing(host, "")):
            return Waiting(f"{silence}; it said of {order.item} then: {state}{why}")
        return Waiting(f"host {host} says of {order.item}: {state}{why}", _headway(said.get("headway")))

    def said(self, order: Order, host: str) -> Mapping[str, Json] | None:
        """Return what a host said last of the item, None if nothing or that it is gone."""
        return self._postings.said(host, order.item)

    def has_point(self, order: Order, host: str) -> bool:
        """Tell whether a host replicates the item as it was last told to, and made a point."""
        said = heard(self.said(order, host))
        return said is not None and said.get("newest") is not None and said.get("state") in _REPLICATING

    def let_go_at(self, order: Order, host: str) -> None:
        """Have a host replicate the item no more, and wait until it says that it does not."""
        self.answer(order, host, "unprotect", {})
        if self.said(order, host) is not None:
            raise Underway(f"host {host} has not told yet that it let go of {order.item}")


class SourceHosts:
    """See ``ports.sites.SourceSite``."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def check(self, order: Order) -> None:
        """Refuse what cannot be protected."""
        self._have(order, "check-source", self._lines.wish(order))

    def relate(self, order: Order) -> None:
        """Have the source protect the machine."""
        self._have(order, "protect", self._lines.wish(order))

    def is_seeded(self, order: Order) -> bool:
        """Tell that there is a point, and the host obeys the newest wish; else what is waited for."""
        if not self._lines.has_point(order, source := self._lines.route(order).source):
            raise self._lines.waited_for(order, source)
        return True

    def resync(self, order: Order) -> int:
        """Have the source compare, and return the generation of its wish."""
        return self._have(order, "resync", {}).generation

    def is_equal(self, order: Order, resync: int) -> bool:
        """Tell that the source has heard the wish of that generation, and did all resyncs since."""
        source = self._lines.route(order).source
        said = heard(self._lines.said(order, source)) or {}
        wish = said.get("wish")
        asked = _whole(wish.get("resync")) if isinstance(wish, Mapping) else None
        is_heard = asked is not None and _whole(said.get("generation")) >= resync
        if asked is None or not is_heard or _whole(said.get("resynced")) < asked:
            raise self._lines.waited_for(order, source)
        return True

    def follow(self, order: Order) -> str:
        """Have the source follow the policy."""
        return self._lines.follow(order, self._lines.route(order).source)

    def unrelate(self, order: Order) -> None:
        """Have the source let go, and wait until it says that it has."""
        self._lines.let_go_at(order, self._lines.route(order).source)

    def leave(self, order: Order) -> str:
        """Have the source let go when it is back; one that is let in no more never hears of it."""
        source = self._lines.route(order).source
        by_hand = f"should it ever be back, `bascule unprotect {order.item}` there ends what it still does"
        try:
            self._lines.ask(order, source, "unprotect", {})
        except Refused as error:
            if error.code not in ("revoked", "unknown-host"):
                raise
            return f"host {source} was passed over, and is let in no more: {by_hand}"
        return f"host {source} was passed over: it lets go when it is back"

    def hand_over(self, order: Order) -> None:
        """Have the source shut the machine down and send what it wrote."""
        self._have(order, "hand-over", self._lines.place(order))

    def look(self, order: Order) -> None:
        """See whether the source's host is in touch."""
        self._lines.look(self._lines.route(order).source)

    def _have(self, order: Order, verb: str, arguments: Mapping[str, Json]) -> Result:
        return self._lines.answer(order, self._lines.route(order).source, verb, arguments)


class RecoveryHosts:
    """See ``ports.sites.RecoverySite``."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def check(self, order: Order) -> None:
        """Refuse what could not be started there."""
        self._have(order, "check-recovery", **self._lines.settings(order))

    def settle(self, order: Order) -> None:
        """See that the machine could be started there as what it is to be."""
        self._have(order, "settle", **self._lines.settings(order))

    def latest_point(self, order: Order) -> str:
        """Return the newest point."""
        return f"{order.item}/{self._have(order, 'latest')}"

    def points(self, order: Order) -> tuple[RecoveryPoint, ...]:
        """Return the newest points, the newest first."""
        found = json.loads(self._have(order, "points"))
        return tuple(RecoveryPoint(f"{order.item}/{number}", at, kind) for number, at, kind in found)

    def fence(self, order: Order) -> None:
        """Have the recovery side fence the source in the store; the source is not asked."""
        self._have(order, "fence")

    def start(self, order: Order, point: str, purpose: Purpose, network: str | None = None) -> str:
        """Start a machine at a point."""
        verb = "test" if purpose is Purpose.TEST else "fail-over"
        more: dict[str, Json] = {} if network is None else {"network": network}
        return self._have(order, verb, point=_number(point), **more)

    def remove(self, order: Order, purpose: Purpose) -> None:
        """Take away what was started."""
        self._have(order, "clean-up" if purpose is Purpose.TEST else "cancel")

    def let_go(self, order: Order) -> None:
        """Let the source take the group back from the session that fenced it.

        Nobody waits for that: a source that is down hears it when it is back.
        """
        session = self._have(_part(order, "owner"), "owner")
        source = self._lines.route(order).source
        arguments = {**self._lines.place(order), "session": session}
        self._lines.ask(_part(order, "take back"), source, "take-back", arguments)

    def keep_only(self, order: Order) -> None:
        """Commit, which removes the other points."""
        self._have(order, "commit")

    def reshape(self, order: Order, settings: str) -> None:
        """Have the recovery side keep what the machine is to be."""
        self._have(order, "shape", settings=settings)

    def forget(self, order: Order) -> None:
        """Remove points and what a recovery left."""
        self._have(order, "forget")

    def _have(self, order: Order, verb: str, **arguments: Json) -> str:
        place, host = self._lines.place(order), self._lines.route(order).recovery
        return self._lines.answer(order, host, verb, {**place, **arguments}).value


class HomeHosts:
    """See ``ports.sites.HomeSite``."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def check(self, order: Order) -> None:
        """Refuse a host to which no machine can come."""
        self._have(order, "check-recovery")

    def level(self, order: Order) -> None:
        """Have new disks made equal to the newest point, which may take hours."""
        self._have(order, "level")

    def come_home(self, order: Order, *, whole: bool) -> str:
        """Have the machine started with all that it wrote."""
        return f"{order.item}/{self._have(order, 'come-home', whole=whole)}"

    def give_up(self, order: Order) -> None:
        """Have a failback taken away."""
        self._have(order, "give-up")

    def keep(self, order: Order) -> None:
        """Commit, which removes the other points."""
        self._have(order, "commit")

    def relate_again(self, order: Order) -> None:
        """Have the machine that came home replicated from there."""
        self._have(order, "relate", policy=self._lines.policy(order), **self._lines.disks(order))

    def _have(self, order: Order, verb: str, **arguments: Json) -> str:
        place, host = self._lines.place(order), self._lines.home(order)
        return self._lines.answer(order, host, verb, {**place, **arguments}).value


class AwayHosts:
    """See ``ports.sites.AwaySite``."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def relate_back(self, order: Order) -> None:
        """Have the machine replicated from where it works."""
        self._have(order, "relate", policy=self._lines.policy(order), **self._lines.disks(order))

    def is_seeded_back(self, order: Order) -> bool:
        """Tell that that has a point; else what is waited for."""
        if not self._lines.has_point(order, recovery := self._lines.route(order).recovery):
            raise self._lines.waited_for(order, recovery)
        return True

    def follow_back(self, order: Order) -> str:
        """Have the host where the machine works follow the policy."""
        return self._lines.follow(order, self._lines.route(order).recovery)

    def unrelate_back(self, order: Order) -> None:
        """Have it replicated no more."""
        self._lines.let_go_at(order, self._lines.route(order).recovery)

    def hand_over(self, order: Order) -> None:
        """Have the machine shut down and send what it wrote."""
        self._have(order, "hand-over")

    def take_back(self, order: Order) -> None:
        """Have the machine run again and be replicated on."""
        self._have(order, "take-back")

    def release(self, order: Order) -> None:
        """Have the machine removed with its disks."""
        self._have(order, "release")

    def _have(self, order: Order, verb: str, **arguments: Json) -> None:
        place, host = self._lines.place(order), self._lines.route(order).recovery
        self._lines.answer(order, host, verb, {**place, **arguments})


def heard(said: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
    """Return what a host said, if that is about the newest wish that it was told."""
    wish = said and said.get("wish")
    if not said or not isinstance(wish, Mapping) or said.get("generation") != wish.get("generation"):
        return None
    return said


def _id(order: Order) -> str:
    """Return a token as a name on the wire; the job's id comes first."""
    job, _, step = order.token.partition("/")
    return f"{job}.{crc32(step.encode()):08x}"


def _part(order: Order, name: str) -> Order:
    return replace(order, token=f"{order.token}/{name}")


def _number(point: str) -> int:
    number = point.rpartition("/")[2]
    if not number.isdecimal():
        raise Refused(f"{point!r} is no point", cure="name it as the list of points does", code="bad-point")
    return int(number)


def _headway(said: Json) -> Headway | None:
    """Return how far a host says that it is, None for what is no headway."""
    if not isinstance(said, Mapping):
        return None
    done, total, rate, left = (said.get(name) for name in Headway.__slots__)
    if not (isinstance(done, int) and isinstance(total, int) and isinstance(rate, int | float)):
        return None
    return Headway(done, total, rate, left if isinstance(left, int | float) else None)


def _whole(value: Json) -> int:
    return value if isinstance(value, int) else 0
