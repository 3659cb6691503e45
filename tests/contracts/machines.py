"""What every hypervisor's machine must do; a driver's tests inherit it and say how a guest writes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from bascule.ports.disks import DiskSource
from bascule.ports.machines import Frozen, Recorded, RunningMachine

BLOCK = 65536
SIZE = 64 * BLOCK


class Host(ABC):
    """A machine with the disks ``disk0`` and ``disk1``, full of zeroes, as its owner sees it."""

    @abstractmethod
    def adopt(self) -> RunningMachine:
        """Connect to the machine; what an earlier owner left is still there."""

    @abstractmethod
    def write(self, disk: str, offset: int, data: bytes) -> None:
        """Write as the guest does."""

    @abstractmethod
    def open(self, words: str) -> DiskSource:
        """Open a frozen disk."""

    @abstractmethod
    def runs(self) -> bool:
        """Tell whether the guest's processors run, after letting them run if they never did."""

    @abstractmethod
    def must_be_clean(self) -> None:
        """See that nothing is held for us but what records the changes."""


class MachineContract:
    """Inherit, and provide the fixture ``host``."""

    def content(self, host: Host, frozen: Frozen, disk: str = "disk0") -> bytes:
        source = self.source(host, frozen, disk)
        image = bytearray(SIZE)
        source.read_into(0, memoryview(image))
        source.close()
        return bytes(image)

    def changed(self, host: Host, frozen: Frozen, disk: str = "disk0") -> set[int]:
        """Return the blocks that a frozen disk offers as changed."""
        source = self.source(host, frozen, disk)
        assert source.is_delta
        blocks = {
            at // BLOCK for offset, length in source.extents() for at in range(offset, offset + length, BLOCK)
        }
        source.close()
        return blocks

    def source(self, host: Host, frozen: Frozen, disk: str) -> DiskSource:
        (found,) = [shown for shown in frozen.disks if shown.id == disk]
        source = host.open(found.words)
        assert (source.size_bytes, source.is_delta) == (found.size_bytes, found.is_delta)
        return source

    def test_the_first_instant_offers_whole_disks(self, host: Host) -> None:
        machine = host.adopt()
        assert machine.settle({}) == {}
        host.write("disk0", 5 * BLOCK, b"one" * 1000)
        frozen = machine.freeze({})
        assert {(disk.id, disk.size_bytes, disk.is_delta) for disk in frozen.disks} == {
            ("disk0", SIZE, False),
            ("disk1", SIZE, False),
        }
        assert set(frozen.tracking) == {"disk0", "disk1"}
        assert self.content(host, frozen)[5 * BLOCK :].startswith(b"one" * 1000)
        frozen.keep()
        machine.close()
        host.must_be_clean()

    def test_an_instant_shows_nothing_of_what_is_written_after_it(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        host.write("disk0", 0, b"a" * BLOCK)
        host.write("disk1", 0, b"a" * BLOCK)
        frozen = machine.freeze({})
        for disk in ("disk0", "disk1"):
            host.write(disk, 100, b"b" * BLOCK)
            assert self.content(host, frozen, disk) == b"a" * BLOCK + bytes(SIZE - BLOCK)
        frozen.keep()
        machine.close()

    def test_later_instants_offer_what_changed_since_the_one_before(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        host.write("disk0", 7 * BLOCK + 10, b"during")
        first.keep()
        host.write("disk0", 9 * BLOCK - 2, b"over the edge")
        second = machine.freeze(first.tracking)
        assert self.changed(host, second) == {7, 8, 9}
        assert self.changed(host, second, "disk1") == set()
        assert self.content(host, second)[7 * BLOCK + 10 :].startswith(b"during")
        second.keep()
        third = machine.freeze(second.tracking)
        assert self.changed(host, third) == set()
        third.keep()
        machine.close()
        host.must_be_clean()

    def test_an_instant_that_was_thawed_can_still_be_kept_or_dropped(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.thaw()
        first.thaw()
        first.keep()
        host.write("disk0", 3 * BLOCK, b"x")
        given_up = machine.freeze(first.tracking)
        given_up.thaw()
        host.write("disk0", 5 * BLOCK, b"x")
        given_up.drop()
        again = machine.freeze(first.tracking)
        assert self.changed(host, again) == {3, 5}
        again.keep()
        machine.close()
        host.must_be_clean()

    def test_what_a_record_holds_is_told_without_freezing(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        unknown = {disk: Recorded(SIZE, None) for disk in ("disk0", "disk1")}
        assert dict(machine.recorded({})) == unknown
        first = machine.freeze({})
        first.keep()
        assert machine.recorded(first.tracking)["disk0"] == Recorded(SIZE, 0)
        host.write("disk0", 3 * BLOCK - 1, b"xx")
        assert machine.recorded(first.tracking) == {
            "disk0": Recorded(SIZE, 2 * BLOCK),
            "disk1": Recorded(SIZE, 0),
        }
        assert dict(machine.recorded({"disk0": "bascule-of-another-time"})) == unknown
        machine.close()

    def test_what_was_dropped_counts_again(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        host.write("disk0", 3 * BLOCK, b"x")
        dropped = machine.freeze(first.tracking)
        host.write("disk0", 4 * BLOCK, b"x")
        dropped.drop()
        host.write("disk0", 5 * BLOCK, b"x")
        again = machine.freeze(first.tracking)
        assert self.changed(host, again) == {3, 4, 5}
        again.keep()
        machine.close()
        host.must_be_clean()

    @pytest.mark.parametrize("is_published", [False, True], ids=["before", "after"])
    def test_an_owner_that_died_in_an_instant_cost_no_change(self, host: Host, is_published: bool) -> None:
        """Before or after its point was published: the newest point names one record or the other."""
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        host.write("disk0", 3 * BLOCK, b"x")
        died = machine.freeze(first.tracking)
        host.write("disk0", 4 * BLOCK, b"x")
        machine.close()

        machine = host.adopt()
        newest = died.tracking if is_published else first.tracking
        assert machine.settle(newest) == newest
        host.write("disk0", 5 * BLOCK, b"x")
        frozen = machine.freeze(newest)
        assert self.changed(host, frozen) == ({4, 5} if is_published else {3, 4, 5})
        frozen.keep()
        machine.close()
        host.must_be_clean()

    def test_a_record_that_nobody_knows_is_not_believed(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        machine.close()
        machine = host.adopt()
        assert machine.settle({"disk0": "bascule-of-another-time", "disk1": first.tracking["disk1"]}) == {
            "disk1": first.tracking["disk1"]
        }
        machine.close()

    def test_an_instant_that_died_before_the_first_point_is_cleared_away(self, host: Host) -> None:
        machine = host.adopt()
        machine.settle({})
        machine.freeze({})
        machine.close()
        machine = host.adopt()
        assert machine.settle({}) == {}
        frozen = machine.freeze({})
        frozen.keep()
        machine.close()
        host.must_be_clean()

    def test_a_machine_that_is_held_stands_still_until_it_is_released(self, host: Host) -> None:
        """The steps by which machines of a group are frozen together (R-RP-5)."""
        machine = host.adopt()
        machine.settle({})
        assert host.runs()
        freezing = machine.prepare({})
        assert host.runs()
        freezing.hold()
        assert not host.runs()
        freezing.cut()
        assert not host.runs()
        freezing.release()
        assert host.runs()
        freezing.release()
        frozen = freezing.show()
        host.write("disk0", 0, b"after")
        for disk in ("disk0", "disk1"):
            assert self.content(host, frozen, disk) == bytes(SIZE)
        frozen.keep()
        second = machine.prepare(frozen.tracking)
        second.hold()
        second.cut()
        second.release()
        shown = second.show()
        assert self.changed(host, shown) == {0}
        assert self.content(host, shown).startswith(b"after")
        shown.keep()
        machine.close()
        host.must_be_clean()

    @pytest.mark.parametrize("steps", [0, 1, 2, 3])
    def test_a_freezing_that_is_cancelled_at_any_step_leaves_a_running_machine_and_its_record(
        self, host: Host, steps: int
    ) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        host.write("disk0", 3 * BLOCK, b"x")
        freezing = machine.prepare(first.tracking)
        for step in (freezing.hold, freezing.cut, freezing.release)[:steps]:
            step()
        freezing.cancel()
        assert host.runs()
        host.write("disk0", 5 * BLOCK, b"x")
        again = machine.freeze(first.tracking)
        assert self.changed(host, again) == {3, 5}
        again.keep()
        machine.close()
        host.must_be_clean()

    @pytest.mark.parametrize("steps", [1, 2])
    def test_an_owner_that_leaves_while_a_machine_is_held_does_not_leave_it_standing(
        self, host: Host, steps: int
    ) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        freezing = machine.prepare(first.tracking)
        for step in (freezing.hold, freezing.cut)[:steps]:
            step()
        machine.close()
        assert host.runs()
        machine = host.adopt()
        assert machine.settle(first.tracking) == first.tracking
        machine.close()
        host.must_be_clean()

    def test_a_disk_whose_record_is_not_there_offers_all_of_it_and_one_that_is_gone_is_passed_over(
        self, host: Host
    ) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        host.write("disk0", 5 * BLOCK, b"x")
        since = {"disk0": "bascule-of-another-time", "disk1": first.tracking["disk1"], "disk9": "gone"}
        frozen = machine.freeze(since)
        assert {disk.id: disk.is_delta for disk in frozen.disks} == {"disk0": False, "disk1": True}
        assert self.content(host, frozen)[5 * BLOCK :].startswith(b"x")
        frozen.keep()
        machine.close()
        host.must_be_clean()
