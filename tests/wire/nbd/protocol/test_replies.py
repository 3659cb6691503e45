from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Damaged
from bascule.wire.nbd.protocol.replies import chunks, descriptors, one_chunk, simple_read

EXTENTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=12)


def flat(extents: list[tuple[int, int]]) -> list[int]:
    return [flags for length, flags in extents for _ in range(length)]


@given(EXTENTS, st.integers(1, 300), st.integers(1, 5))
def test_descriptors_say_what_the_export_said_as_far_as_they_go(
    extents: list[tuple[int, int]], length: int, most: int
) -> None:
    found = list(descriptors(extents, length, most))
    told = flat(extents)[:length] or [0] * length
    said = flat(found)
    assert said == told[: len(said)]
    assert 1 <= len(found) <= most
    assert len(found) == most or len(said) == len(told)
    assert all(one[1] != two[1] for one, two in itertools.pairwise(found))


def test_zeroes_cost_thirty_two_bytes() -> None:
    (reply,) = chunks(1, 0, 1 << 20, [(1 << 19, None), (1 << 19, None)])
    assert len(reply) == 32


def test_data_is_sent_from_where_it_lies() -> None:
    data = memoryview(bytearray(4096))
    assert chunks(1, 0, 4096, [(4096, data)])[1] is data


@pytest.mark.parametrize("parts", [[(4, b"abc")], [(5, b"abcde")], [(3, b"abc")], [], [(3, None)]])
@pytest.mark.parametrize("pack", [chunks, one_chunk, simple_read])
def test_an_export_that_gives_too_little_or_too_much_is_damaged(pack, parts) -> None:
    with pytest.raises(Damaged):
        pack(1, 0, 4, parts)
