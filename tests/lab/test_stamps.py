"""The judge of stamped disks has to tell every kind of wrong image from a right one."""

from __future__ import annotations

from array import array

import pytest

from lab.stamps import BLOCK, NotExact, _mix, judge

BLOCKS = 16


def after(writes: int) -> bytearray:
    """Return a disk as it is after so many writes."""
    image = bytearray(BLOCKS * BLOCK)
    for number in range(1, writes + 1):
        put(image, _mix(number) % BLOCKS, number)
    return image


def put(image: bytearray, block: int, number: int) -> None:
    image[block * BLOCK : (block + 1) * BLOCK] = array("Q", range(number * 512, number * 512 + 512)).tobytes()


@pytest.mark.parametrize("writes", [0, 1, 5, 100])
def test_a_disk_after_any_number_of_writes_is_exact(writes: int) -> None:
    assert judge(after(writes)) == writes


def test_a_missing_write_is_told() -> None:
    image, older = after(100), after(99)
    last = _mix(95) % BLOCKS
    image[last * BLOCK : (last + 1) * BLOCK] = bytes(BLOCK)
    with pytest.raises(NotExact, match="not as of write 100"):
        judge(image)
    assert judge(older) == 99


def test_a_write_from_the_future_is_told() -> None:
    image = after(100)
    put(image, (_mix(101) + 1) % BLOCKS, 101)
    with pytest.raises(NotExact, match="not as of write 101"):
        judge(image)


def test_a_torn_block_is_told() -> None:
    image, later = after(50), after(100)
    block = _mix(100) % BLOCKS
    image[block * BLOCK : block * BLOCK + 512] = later[block * BLOCK : block * BLOCK + 512]
    with pytest.raises(NotExact, match="parts of several writes"):
        judge(image)
