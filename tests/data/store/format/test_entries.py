"""Log entries as text: they come back as they were, pass over what is new, and doubt what is strange."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bascule.data.store.format.entries import DiskEntry, Entry, MachineEntry, PartEntry, decode, encode
from bascule.data.store.format.layers import LayerRef
from bascule.data.store.upkeep.state import STATES, RemovedRange, UpkeepEntry
from bascule.model.errors import Damaged
from tests.data.store.format.maps import frames

texts = st.text(max_size=12)
numbers = st.integers(0, 2**40)
counts = st.dictionaries(texts, st.integers(-1, 2**40), max_size=3)
layers = st.builds(LayerRef, numbers, numbers, numbers, frames)
disks = st.builds(
    DiskEntry, texts, numbers, numbers, st.none() | frames, st.lists(layers, max_size=3).map(tuple)
)
machines = st.builds(MachineEntry, texts, texts, texts, st.lists(disks, max_size=2).map(tuple))
entries = st.builds(
    Entry,
    group=texts,
    number=numbers,
    kind=st.sampled_from(["point", "fence"]),
    session=texts,
    writer=texts,
    previous=texts,
    nonce=texts,
    sealed_through=counts,
    adopts=counts,
    last_point=st.none() | numbers,
    base=st.none() | st.tuples(texts, numbers),
    captured_at=st.floats(0, 1e10),
    complete=st.booleans(),
    machines=st.lists(machines, max_size=2).map(tuple),
    parts=st.lists(st.builds(PartEntry, texts, texts), max_size=2).map(tuple),
)
states = st.builds(
    UpkeepEntry,
    numbers,
    st.sampled_from(["state", "fence"]),
    texts,
    texts,
    texts,
    removed=st.dictionaries(
        texts, st.lists(st.builds(RemovedRange, numbers, numbers, texts, texts)).map(tuple), max_size=2
    ),
    pending=st.dictionaries(texts, texts, max_size=2),
    leaving=st.dictionaries(texts, st.lists(numbers, max_size=3).map(tuple), max_size=2),
)
SOME = Entry("g", 3, "point", "s", "w", "p", "n")


@given(entries)
def test_an_entry_comes_back_from_its_text(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(states)
def test_a_state_of_upkeep_comes_back_from_its_text(state: UpkeepEntry) -> None:
    assert STATES.decode(STATES.encode(state)) == state


def test_fields_that_are_not_known_yet_are_passed_over() -> None:
    later = json.loads(encode(SOME)) | {"colour": "blue"}
    assert decode(json.dumps(later).encode()) == SOME
    state = UpkeepEntry(1, "state", "s", "w", "n")
    later = json.loads(STATES.encode(state)) | {"colour": "blue"}
    assert STATES.decode(json.dumps(later).encode()) == state


@pytest.mark.parametrize("read", [decode, STATES.decode], ids=["point log", "upkeep log"])
def test_an_entry_of_a_newer_version_is_not_guessed_at(read: object) -> None:
    assert callable(read)
    with pytest.raises(Damaged, match="newer Bascule"):
        read(b'{"version": 2}')


@given(st.binary(max_size=60) | entries.map(encode).map(lambda text: text[: len(text) // 2]))
@example(b"[]")
@example(b'{"version": 1}')
@example(b'{"version": 1, "removed": 3, "leaving": []}')
def test_text_that_is_no_entry_is_damaged_and_nothing_worse(text: bytes) -> None:
    for read in (decode, STATES.decode):
        with pytest.raises(Damaged):
            read(text)
