from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.data.instant.local.journal import RECORD_BYTES, RECORDS_BYTES_MAX, Journal
from bascule.model.errors import Damaged, Refused
from tests.data.instant.storm import Disk, StormFolder, Struck

ABOUT = (b"overlay", 1 << 20)
FACTS = st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))


def journal(disk: Disk, snapshot: bytes = b"first") -> Journal:
    return Journal.create(StormFolder(disk), "map", ABOUT, snapshot, "boot-1")


def facts(disk: Disk) -> list[tuple[int, int, int]]:
    _, found = Journal.open(StormFolder(disk), "map", ABOUT, "boot-1")
    return [(record.kind, record.first, record.units) for record in found.records]


@given(st.lists(FACTS, max_size=8), st.lists(FACTS, max_size=8))
def test_records_come_back_in_order_over_several_openings(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    disk = Disk()
    ours = journal(disk)
    for fact in first:
        ours.append(*fact)
    ours, found = Journal.open(StormFolder(disk), "map", ABOUT, "boot-1")
    assert found.snapshot == b"first"
    for fact in second:
        ours.append(*fact)
    assert facts(disk) == first + second


@given(st.data(), st.integers(1, 8))
def test_reading_stops_at_the_first_record_that_is_not_whole(data: st.DataObject, count: int) -> None:
    disk = Disk()
    ours = journal(disk)
    for number in range(count):
        ours.append(1, number, 1)
    content = disk.names["map"].now
    start = len(content) - count * RECORD_BYTES
    hurt = data.draw(st.integers(start, len(content) - 1))
    content[hurt] ^= data.draw(st.integers(1, 255))
    assert len(facts(disk)) == (hurt - start) // RECORD_BYTES


def test_every_change_of_head_or_snapshot_is_found() -> None:
    disk = Disk()
    journal(disk)
    whole = bytes(disk.names["map"].now)
    for at in range(len(whole)):
        disk.names["map"].now[at] ^= 0x40
        with pytest.raises((Damaged, Refused)):
            facts(disk)
        disk.names["map"].now[:] = whole


def test_a_journal_of_another_disk_or_purpose_is_refused() -> None:
    disk = Disk()
    journal(disk)
    for about in ((b"overlay", 2 << 20), (b"hydrate", 1 << 20)):
        with pytest.raises(Refused):
            Journal.open(StormFolder(disk), "map", about, "boot-1")


def test_the_boot_is_the_same_only_if_it_is_known_and_equal() -> None:
    disk = Disk()
    journal(disk)
    for boot, same in (("boot-1", True), ("boot-2", False), ("", False)):
        assert Journal.open(StormFolder(disk), "map", ABOUT, boot)[1].is_same_boot is same
    Journal.create(StormFolder(disk), "map", ABOUT, b"", "")
    assert not Journal.open(StormFolder(disk), "map", ABOUT, "")[1].is_same_boot


def test_a_power_cut_at_any_step_of_a_replacement_leaves_the_old_or_the_new_one() -> None:
    for step in range(1, 8):
        for seed in range(20):
            disk = Disk()
            journal(disk)
            disk.chance.seed(seed)
            disk.strike_at = disk.operations + step
            left = {b"first", b"second"}
            with suppress(Struck):
                journal(disk, b"second")
                left = {b"second"}
            disk.lose_power()
            _, found = Journal.open(StormFolder(disk), "map", ABOUT, "boot-1")
            assert found.snapshot in left


def test_a_journal_is_long_when_it_outgrew_a_mebibyte_and_its_snapshot() -> None:
    disk = Disk()
    ours = journal(disk, bytes(2 * RECORDS_BYTES_MAX))
    start = ours.position
    while not ours.is_long:
        ours.position += RECORD_BYTES
    assert ours.position - start > start > 2 * RECORDS_BYTES_MAX
