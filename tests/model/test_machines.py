"""A machine's definition survives being written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Damaged
from bascule.model.machines import (
    DirectBoot,
    DiskPlace,
    Firmware,
    Hardware,
    MachineDefinition,
    Nic,
    read,
    written,
)

_words = st.text(max_size=20)
_hardware = st.builds(
    Hardware,
    st.integers(1, 64),
    st.integers(1, 1 << 20),
    st.sampled_from(Firmware),
    st.lists(st.builds(Nic, _words, _words, _words), max_size=3).map(tuple),
    st.none() | st.builds(DirectBoot, _words, _words, _words),
)
_definitions = st.builds(
    MachineDefinition,
    _words,
    _hardware,
    st.lists(st.builds(DiskPlace, _words, _words, _words), max_size=3).map(tuple),
)


@given(_definitions)
def test_what_was_written_is_read_again(definition: MachineDefinition) -> None:
    assert read(written(definition)) == definition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"version": 2}',
        '{"version": 1}',
        b"\xff",
        '{"version":1,"name":"a","disks":[7],"hardware":{}}',
    ],
)
def test_what_is_no_definition_is_damaged(text: str | bytes) -> None:
    with pytest.raises(Damaged):
        read(text)
