"""Writers, retention, sweep, compaction, pins, locks and crashes in any order, against an oracle."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bascule.data.store import BLOCK, DiskKey, GroupWriter, PointReader
from bascule.drivers.objects.memory import Crash
from bascule.model.errors import Fenced, Missing, Unavailable
from bascule.model.retention import Ladder
from tests.data.store.scene import GROUP, Scene, disk_content
from tests.properties import share

DISKS = (DiskKey("web", "a"), DiskKey("db", "a"))
BLOCKS = 24
changes = st.dictionaries(st.integers(0, BLOCKS - 1), st.integers(0, 200), max_size=12)
both = st.fixed_dictionaries({disk: changes for disk in DISKS})


class History(RuleBasedStateMachine):
    """One vault, as several processes use it and die."""

    @initialize()
    def make(self) -> None:
        self.scene = Scene(disks=dict.fromkeys(DISKS, BLOCKS * BLOCK + 123)).init()
        self.writer: GroupWriter | None = None
        self.zombies: list[GroupWriter] = []
        self.pins: list[PointReader] = []

    @rule()
    def take_over(self) -> None:
        if self.writer is not None:
            self.zombies.append(self.writer)
        self.writer = self.scene.writer()

    @precondition(lambda self: self.writer is not None)
    @rule(change=both, seconds=st.integers(0, 4000))
    def write_a_point(self, change: dict[DiskKey, dict[int, int]], seconds: int) -> None:
        self.scene.clock.time += seconds
        assert self.writer is not None
        self.scene.point(self.writer, change)

    @precondition(lambda self: self.zombies)
    @rule(change=both, which=st.randoms(use_true_random=False))
    def a_zombie_wakes_up(self, change: dict[DiskKey, dict[int, int]], which: random.Random) -> None:
        before = dict(self.scene.now)
        try:
            self.scene.point(which.choice(self.zombies), change)
        except Fenced:
            assert self.scene.now == before
        else:
            raise AssertionError("a fenced writer published")

    @precondition(lambda self: self.scene.points)
    @rule(at=st.integers(1, 12), after=st.booleans(), change=both)
    def the_writer_loses_power(self, at: int, after: bool, change: dict[DiskKey, dict[int, int]]) -> None:
        self._fall(at, after, lambda: self._write_alone(change))

    def _write_alone(self, change: dict[DiskKey, dict[int, int]]) -> None:
        with self.scene.writer() as writer:
            self.scene.point(writer, change)

    @rule(at=st.integers(1, 40), after=st.booleans(), keep=st.integers(1, 7))
    def upkeep_loses_power(self, at: int, after: bool, keep: int) -> None:
        self._fall(at, after, lambda: self.upkeep(keep, ladder=False))

    def _fall(self, at: int, after: bool, act: Callable[[], None]) -> None:
        self.scene.objects.crash(at=at, when="after" if after else "before")
        with contextlib.suppress(Crash):
            act()
        self.writer, self.zombies, self.pins = None, [], []
        self.scene.reopen(self.scene.objects.survivor())
        self._learn_the_outcome()

    def _learn_the_outcome(self) -> None:
        """The last put may have made it: then the point is there, whole, and is the newest."""
        listed = self._listed()
        for number in listed:
            if number not in self.scene.points:
                assert number == listed[-1]
                with self.scene.vault.point(GROUP, number) as point:
                    self.scene.points[number] = {d: disk_content(point, d) for d in point.disks()}
        if listed:
            newest = self.scene.points[listed[-1]]
            self.scene.now = {disk: bytearray(content) for disk, content in newest.items()}

    def _listed(self) -> list[int]:
        try:
            return self.scene.listed()
        except Missing:
            return []

    @rule(keep=st.integers(1, 7), ladder=st.booleans())
    def upkeep(self, keep: int, ladder: bool) -> None:
        listed = self._listed()
        with self.scene.vault.upkeep(writer="test") as session:
            if ladder and listed:
                session.thin(GROUP, Ladder.parse("30m:all,2h:20m"))
            elif listed:
                locked = {info.number for info in self.scene.vault.points(GROUP) if info.locked_until}
                session.remove(GROUP, [n for n in listed[:-1] if n % keep and n not in locked])
            session.sweep()
            session.compact()
            if keep % 2:
                session.sweep()

    @precondition(lambda self: self.scene.points)
    @rule(pick=st.randoms(use_true_random=False))
    def pin(self, pick: random.Random) -> None:
        listed = self._listed()
        if listed and len(self.pins) < 4:
            self.pins.append(self.scene.vault.point(GROUP, pick.choice(listed), durable=True))

    @precondition(lambda self: self.scene.points)
    @rule(pick=st.randoms(use_true_random=False))
    def lock(self, pick: random.Random) -> None:
        listed = self._listed()
        if not listed:
            return
        number, until = pick.choice(listed), self.scene.clock.time + 1000
        state = self.scene.vault.upkeep_state()
        if state is not None and state.is_leaving(GROUP, number):
            # An upkeep that died had announced it: it may be locked when the next one has looked.
            with pytest.raises(Unavailable):
                self.scene.vault.lock(GROUP, number, until)
        else:
            self.scene.vault.lock(GROUP, number, until)

    @precondition(lambda self: self.pins)
    @rule()
    def unpin(self) -> None:
        point = self.pins.pop()
        self.scene.vault.release(GROUP, point.info.number, point.pin_id)

    @precondition(lambda self: self.pins)
    @rule()
    def a_pinned_point_is_whole(self) -> None:
        for point in self.pins:
            self.scene.check_point(point)

    @invariant()
    def every_listed_point_is_whole(self) -> None:
        self.scene.check(self._listed())

    def teardown(self) -> None:
        if hasattr(self, "scene"):
            assert list(self.scene.vault.verify(full=True)) == []
        for writer in [*getattr(self, "zombies", []), getattr(self, "writer", None)]:
            if writer is not None:
                writer.close()


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=share(0.25), stateful_step_count=25)
