"""What a point says of a machine is read again, and nothing is made of what somebody else wrote there."""

from __future__ import annotations

import pytest

from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic
from bascule.model.notes import MachineNote, from_text, to_text

MACHINE = MachineDefinition("web", Hardware(2, 512, nics=(Nic("lan", "blue"),)), (DiskPlace("root", "/a"),))


@pytest.mark.parametrize(
    "note",
    [
        MachineNote(),
        MachineNote(MACHINE),
        MachineNote(MACHINE, {"root": "bascule-1"}, {"root": "nbd+unix:///root?socket=/s&bitmap=written"}),
    ],
)
def test_a_note_is_read_as_it_was_written(note: MachineNote) -> None:
    assert from_text(to_text(note)) == note


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<domain/>",
        "[]",
        '{"version": 2, "tracking": {"root": "x"}}',
        '{"version": 1}',
        '{"version": 1, "tracking": 7}',
        '{"version": 1, "tracking": {}, "machine": {"version": 9}}',
    ],
)
def test_of_what_is_no_note_nothing_is_believed(text: str) -> None:
    assert from_text(text) == MachineNote()
