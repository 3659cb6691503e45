from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bascule.wire.nbd.memory import BLOCK, MemoryExport

SIZE = 5 * BLOCK + 1234
RANGES = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 3 * BLOCK)).map(
    lambda pair: (pair[0], min(pair[1], SIZE - pair[0]))
)
DEEDS = st.lists(st.tuples(st.sampled_from(["write", "zero", "keep", "trim"]), RANGES), max_size=12)


def content(disk: MemoryExport, offset: int, length: int) -> bytes:
    parts = disk.read(offset, length)
    return b"".join(bytes(data) if data is not None else bytes(size) for size, data in parts)


@given(DEEDS, RANGES)
def test_a_disk_in_memory_is_an_array_of_bytes(deeds, asked) -> None:
    disk, model = MemoryExport(SIZE), bytearray(SIZE)
    for number, (deed, (offset, length)) in enumerate(deeds, start=1):
        data = bytes([number]) * length if deed == "write" else bytes(length)
        model[offset : offset + length] = data
        if deed == "write":
            disk.write(offset, memoryview(data))
        elif deed == "trim":
            disk.trim(offset, length)
        else:
            disk.zero(offset, length, deed == "zero")
    assert content(disk, *asked) == model[asked[0] : asked[0] + asked[1]]
    extents = list(disk.extents("base:allocation", *asked))
    assert sum(length for length, _ in extents) == asked[1]
    at = asked[0]
    for length, flags in extents:
        assert flags == 0 or not any(model[at : at + length])
        at += length
