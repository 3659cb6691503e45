"""A vault's recovery points, on one object store, under one data key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.objects import ObjectStore

from . import keys, pins
from .access import Access
from .format import names
from .format.container import Builder, Kind, Source
from .format.entries import Entry
from .format.plain import format_text, read_format, read_plain
from .format.sealing import SALT_BYTES, Sealer
from .keys import KeyInfo, Unlocker, Wrapping
from .log import Log, check_primitive
from .points import POINTS, PointInfo
from .reader import PointReader
from .upkeep import reserve
from .upkeep.state import UpkeepEntry, current, readable

# Writers and upkeep are loaded when somebody asks for them: who only reads starts sooner.
if TYPE_CHECKING:
    from .cut import Tuning
    from .parts import Gateway
    from .upkeep.session import Limits, Upkeep
    from .upkeep.verify import Finding, Progress
    from .writer import Claim, GroupWriter

_SMALL = 256 << 10


class Vault:
    """An opened store. Thread-safe; writers, readers and upkeep come from here."""

    def __init__(self, objects: ObjectStore, sealer: Sealer, ids: Ids, clock: Clock) -> None:
        self.access = Access(objects, sealer)
        self.ids = ids
        self.clock = clock

    @classmethod
    def init(
        cls, objects: ObjectStore, unlocker: Unlocker, *, ids: Ids, clock: Clock, label: str = ""
    ) -> Vault:
        """Make a vault in an empty store. The object ``format`` is written last: with it the vault exists."""
        # An init that died left a key or a probe behind; neither is in the way of another one.
        left = (names.KEYS, names.PROBES)
        if any(not info.name.startswith(left) for info in objects.list("")):
            raise Refused(
                "this store is not empty", cure="open the vault that is there, or name an empty place"
            )
        check_primitive(objects, names.PROBES + ids.random(8).hex())
        vault, data_key = ids.random(16), ids.random(keys.KEY_BYTES)
        made = cls(objects, Sealer(vault, data_key), ids, clock)
        made._wrap(unlocker, data_key, label)
        objects.create(names.FORMAT, format_text(vault, clock.now()))
        return made

    @classmethod
    def open(cls, objects: ObjectStore, unlocker: Unlocker, *, ids: Ids, clock: Clock) -> Vault:
        """Open a vault; without a key that fits nothing of it can be read."""
        vault = read_format(objects)
        return cls(objects, Sealer(vault, keys.unlock(objects, unlocker, vault)), ids, clock)

    @property
    def id(self) -> str:
        """Return the vault's id."""
        return self.access.sealer.vault.hex()

    @property
    def objects(self) -> ObjectStore:
        """Return the store the vault lies on."""
        return self.access.objects

    # keys

    def keys(self) -> list[KeyInfo]:
        """List who can open the vault."""
        return list(keys.listed(self.objects, self.access.sealer.vault))

    def add_key(self, held: Unlocker, new: Unlocker, label: str = "") -> str:
        """Let ``new`` open the vault too; ``held`` is a key that does already. No data is rewritten."""
        return self._wrap(new, keys.unlock(self.objects, held, self.access.sealer.vault), label)

    def remove_key(self, key_id: str) -> None:
        """Take a key's wrapping away; the last one that can be read stays."""
        present = {key.id: key for key in self.keys()}
        if key_id not in present:
            raise Missing(f"this vault has no key {key_id}", cure="its keys: " + ", ".join(present))
        others = sum(key.id != key_id and key.kind != keys.DAMAGED for key in present.values())
        if not others:
            raise Refused(f"{key_id} is the only key of this vault", cure="add another key first")
        name = keys.key_prefix(self.access.sealer.vault) + key_id
        wrapping = b"" if present[key_id].kind == keys.DAMAGED else read_plain(self.objects, name)
        self.objects.delete([name])
        if wrapping and all(key.kind == keys.DAMAGED for key in self.keys()):
            # Somebody removed the others at the same moment, and a vault without keys is lost.
            self.objects.create(name, wrapping)
            raise Refused(f"{key_id} is the only key left of this vault", cure="add another key first")

    def _wrap(self, unlocker: Unlocker, data_key: bytes, label: str) -> str:
        wrapping = Wrapping(self.access.sealer.vault, label, self.clock.now())
        key_id, data = keys.wrap(unlocker, data_key, wrapping, self.ids)
        self.objects.create(keys.key_prefix(self.access.sealer.vault) + key_id, data)
        return key_id

    # points

    def groups(self) -> list[str]:
        """List the replication groups that have a log, but for those that were retired and not begun anew."""
        state = readable(self.access)
        retired = state.retired if state else {}
        found: list[str] = []
        after = names.POINTS
        while True:
            info = next(iter(self.objects.list(names.POINTS, after)), None)
            if info is None:
                return found
            group = info.name.split("/")[1]
            if retired.get(group) != names.number_of(info.name):  # the newest of its entries
                found.append(group)
            # Past every name of this group: '0' sorts right after '/'.
            after = f"{names.POINTS}{group}0"

    def beginning(self, group: str) -> Entry | None:
        """Return the entry with which a group began, or began anew after it was retired; None if none did."""
        state = readable(self.access)
        try:
            return self.log(group).read((state.retired.get(group, -1) if state else -1) + 1).entry
        except Missing:
            return None

    def log(self, group: str) -> Log[Entry]:
        """Return a group's log."""
        return Log(self.access, names.check_group(group), POINTS)

    def points(self, group: str) -> list[PointInfo]:
        """List the points of a group that can be opened now, oldest first.

        A point whose entry is damaged is not among them; ``verify`` tells.
        """
        from .upkeep.scan import entries

        log, state = self.log(group), readable(self.access)
        held = pins.held_until(self.objects, group)
        listed = {
            number: info
            for info in self.objects.list(names.log_prefix(group))
            for number in (names.number_of(info.name),)
            if state is None or not state.is_removed(group, number)
        }
        found = [
            PointInfo.of(entry, listed[entry.number].modified, held.get(entry.number, 0.0))
            for entry in entries(log, listed.values(), tolerant=True)
            if entry.kind == "point"
        ]
        if not found and next(log.numbers(), None) is None:
            raise Missing(f"there is no group {group}", cure="its groups: " + ", ".join(self.groups()))
        return found[::-1]

    def point(
        self, group: str, number: int | None = None, *, purpose: str = "", durable: bool = False
    ) -> PointReader:
        """Pin and open a point, the newest if ``number`` is None.

        A durable pin outlives this process, until ``release`` is called with its id.
        """
        if number is None:
            number = self._newest(group)
        point = number
        held = pins.Lease(
            lambda pin_id: self._pin(names.pin(group, point, pin_id), purpose),
            lambda name: self.objects.delete([name]),
            self.clock.monotonic,
            pins.pin_id(self.ids.random, durable=durable),
        )
        try:
            entry = self._listed(group, number)
        except BaseException:
            held.release()
            raise
        return PointReader(self.access, entry, pins.NoLease(held.pin_id) if durable else held)

    def _pin(self, name: str, purpose: str) -> str:
        try:
            self._create_sealed(name, Kind.PIN, {"purpose": purpose, "created_at": self.clock.now()})
        except (Refused, Unavailable) as error:
            without = "while nobody thins or sweeps, it can be read without a pin (--no-pin)"
            raise type(error)(
                f"the point cannot be pinned: {error.message}",
                cure=f"{error.cure}; or, {without}" if error.cure else without,
                code=error.code,
            ) from error
        return name

    def new_pin_id(self) -> str:
        """Return an id for ``hold``, to be written down before the pin is taken."""
        return pins.pin_id(self.ids.random, durable=True)

    def hold(self, group: str, number: int, pin_id: str, *, purpose: str) -> PointReader:
        """Open a point under a durable pin whose id was written down before, so that no crash loses it.

        Doing it again is harmless; a point that is gone leaves no pin.
        """
        with suppress(Exists):
            self._pin(names.pin(group, number, pin_id), purpose)
        try:
            entry = self._listed(group, number)
        except BaseException:
            self.release(group, number, pin_id)
            raise
        return PointReader(self.access, entry, pins.NoLease(pin_id))

    def reopen(self, group: str, number: int, pin_id: str) -> PointReader:
        """Open a point again under a durable pin that an earlier process took."""
        self.objects.stat(names.pin(group, number, pin_id))
        return PointReader(self.access, self.log(group).read(number).entry, pins.NoLease(pin_id))

    def release(self, group: str, number: int, pin_id: str) -> None:
        """Drop a durable pin; what only it held is swept later."""
        self.objects.delete([names.pin(group, number, pin_id)])

    def peek(self, group: str, number: int | None = None) -> PointReader:
        """Open a point without a pin: for stores one may only read, and safe only while no sweep runs."""
        number = self._newest(group) if number is None else number
        return PointReader(self.access, self._listed(group, number), pins.NoLease())

    def _newest(self, group: str) -> int:
        head = self.log(group).head()
        if head is None:
            raise Missing(f"there is no group {group}", cure="its groups: " + ", ".join(self.groups()))
        newest = head.entry.number if head.entry.kind == "point" else head.entry.last_point
        if newest is None:
            raise Missing(f"group {group} has no recovery point yet")
        return newest

    def _listed(self, group: str, number: int) -> Entry:
        entry = self.log(group).read(number).entry
        state = readable(self.access)
        if entry.kind != "point":
            raise Missing(f"entry {number} of group {group} is a take-over, not a recovery point")
        if state is not None and state.is_removed(group, number):
            raise Missing(
                f"point {group}/{number} was removed by retention", cure="choose a point that is listed"
            )
        return entry

    def lock(self, group: str, number: int, until: float) -> None:
        """Keep a point, against retention and sweep, until a moment of the store's own time.

        The lock binds Bascule. Against somebody who may delete objects only the
        bucket's own immutability helps.
        """
        name = names.lock(group, number, int(until), self.ids.random(4).hex())
        self._create_sealed(name, Kind.LOCK, {"created_at": self.clock.now()})
        try:
            self._lockable(group, number)
        except BaseException:
            self.objects.delete([name])
            raise

    def _lockable(self, group: str, number: int) -> None:
        state = current(self.access)
        if state is not None and state.is_leaving(group, number):
            raise Unavailable(
                f"retention is about to remove point {group}/{number}",
                cure="ask again when the upkeep that runs has ended, or after the next one",
            )
        self._listed(group, number)

    def _create_sealed(self, name: str, kind: Kind, fields: dict[str, Any]) -> None:
        builder = Builder(self.access.sealer, _SMALL)
        builder.begin(kind, Source(name, self.ids.random(SALT_BYTES)))
        reserve.create(self.objects, name, builder.finish(json.dumps(fields).encode()), reserve.READERS_LEAVE)

    # writers

    def begin(
        self,
        group: str,
        *,
        writer: str,
        tuning: Tuning | None = None,
        claim: Claim | None = None,
        urgent: bool = False,
    ) -> GroupWriter:
        """Take over a group's log, or start it. Every earlier writer of the group is fenced.

        ``claim`` may look at whom that would be, and refuse. ``urgent`` entries may use room in reserve: of
        those who write little and must not wait, as a failover.
        """
        return self._session(self._log_of(group, urgent), writer, None, tuning, claim)

    def _log_of(self, group: str, urgent: bool) -> Log[Entry]:
        leave = reserve.READERS_LEAVE if urgent else reserve.WRITERS_LEAVE
        return Log(self.access, names.check_group(group), POINTS, leave)

    def branch(
        self,
        base: tuple[str, int],
        group: str,
        *,
        writer: str,
        tuning: Tuning | None = None,
        urgent: bool = False,
    ) -> GroupWriter:
        """Start a new group whose first point continues from a point of another one, sharing its data."""
        with self.point(*base, purpose=f"branch into {group}"):
            return self._session(self._log_of(group, urgent), writer, base, tuning)

    def _session(
        self,
        log: Log[Entry],
        writer: str,
        base: tuple[str, int] | None,
        tuning: Tuning | None,
        claim: Claim | None = None,
    ) -> GroupWriter:
        from .cut import Tuning
        from .writer import GroupWriter

        self._check_primitive(log.leave)
        session = GroupWriter(self.access, log, self.ids, self.clock, tuning or Tuning())
        try:
            session.take_over(writer, base, claim)
        except BaseException:
            session.close()
            raise
        return session

    def gateway(self, name: str) -> Gateway:
        """Start a gateway: it writes parts for groups whose log somebody else owns."""
        from .parts import Gateway

        return Gateway(self.access, self.ids, name)

    def upkeep(self, *, writer: str, limits: Limits | None = None) -> Upkeep:
        """Begin an upkeep session: thinning, sweeping, compacting. Earlier sessions are fenced."""
        from .upkeep.session import Upkeep

        self._check_primitive(reserve.UPKEEP_LEAVES)
        session = Upkeep(self.access, self.ids, self.clock, limits)
        try:
            session.take_over(writer)
        except BaseException:
            session.close()
            raise
        return session

    def keep_reserve(self) -> None:
        """Hold room in reserve, as far as there is room, for whoever must not be stopped by a full store."""
        reserve.replenish(self.objects, self.ids.random)

    def _check_primitive(self, leave: int) -> None:
        check_primitive(self.objects, names.PROBES + self.ids.random(8).hex(), leave)

    def verify(self, *, full: bool = False, progress: Progress | None = None) -> Iterator[Finding]:
        """Yield what is wrong with the store; with ``full``, having opened every live frame."""
        from .upkeep.verify import Verifier

        return Verifier(self.access, progress).run(full=full)

    def upkeep_state(self) -> UpkeepEntry | None:
        """Return what the newest upkeep entry says, if any."""
        return current(self.access)


def key_list(objects: ObjectStore) -> list[KeyInfo]:
    """List the keys of the vault in a store; needs no key."""
    return list(keys.listed(objects, read_format(objects)))
