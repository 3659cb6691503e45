from __future__ import annotations

import itertools
import mmap
import os
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.blocks.zeroes import ZeroTest

sparse = st.lists(st.sampled_from([b"\0" * 7, b"\0" * 16, b"\1", b"\0\xff", b"abc"]), max_size=12).map(
    b"".join
)


@given(sparse, st.data())
def test_a_range_is_zero_exactly_when_all_its_bytes_are(content: bytes, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content) - offset))
    want = not any(content[offset : offset + length])
    for buffer in (content, bytearray(content), memoryview(content)):
        assert ZeroTest(buffer).is_zero(offset, length) == want


@given(sparse, st.integers(1, 40), st.data())
def test_runs_tell_data_from_zeroes_unit_by_unit(content: bytes, unit: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(content)))
    length = len(content) - offset
    runs = list(ZeroTest(content).runs(offset, length, unit))
    verdicts = [(address, is_data) for run, is_data in runs for address in range(run.offset, run.end)]
    naive = [
        (address, any(content[low : min(low + unit, len(content))]))
        for low in range(offset, len(content), unit)
        for address in range(low, min(low + unit, len(content)))
    ]
    assert verdicts == naive
    assert all(a[1] != b[1] for a, b in itertools.pairwise(runs)), "neighbours are joined"
    assert list(ZeroTest(content).data_blocks(offset, length, unit)) == [run for run, d in runs if d]


@pytest.mark.parametrize("at", [0, 1, 63, 4095, 4096, 65535])
def test_one_bit_anywhere_in_a_block_is_data(at: int) -> None:
    block = bytearray(65536)
    test = ZeroTest(block)
    assert test.is_zero(0, 65536)
    block[at] = 1
    assert not test.is_zero(0, 65536)
    assert test.is_zero(at + 1, 65535 - at)
    assert test.is_zero(0, at)


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 9), (8, 1), (9, 0), (0, -1)])
def test_a_range_outside_the_buffer_is_refused(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="not inside a buffer of 8"):
        ZeroTest(bytes(8)).is_zero(offset, length)


def test_a_view_in_the_middle_of_a_mapping_is_tested_at_its_own_place() -> None:
    mapping = mmap.mmap(-1, 3 * 4096)
    mapping[0:4096] = b"\1" * 4096
    mapping[8192:12288] = b"\1" * 4096
    assert ZeroTest(memoryview(mapping)[4096:8192]).is_zero(0, 4096)
    assert not ZeroTest(mapping).is_zero(4095, 4096)


def test_an_empty_buffer_is_zero() -> None:
    assert ZeroTest(b"").is_zero(0, 0)
    assert list(ZeroTest(b"").runs(0, 0, 4096)) == []


def test_other_threads_run_during_a_test() -> None:
    """With a switch interval of a minute another thread gets its turn only if the test drops the lock."""
    test = ZeroTest(bytes(16 << 20))
    turns = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            os.sched_yield()

    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    counter = threading.Thread(target=count)
    try:
        counter.start()
        deadline = time.monotonic() + 30
        start = turns
        while turns < start + 3 and time.monotonic() < deadline:
            assert test.is_zero(0, 16 << 20)
        assert turns >= start + 3
    finally:
        stop.set()
        sys.setswitchinterval(before)
        counter.join()
