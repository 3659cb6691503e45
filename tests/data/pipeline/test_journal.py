from __future__ import annotations

import pytest

from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent
from bascule.data.pipeline import Journal
from bascule.data.pipeline import journal as module
from bascule.data.store import DiskKey
from bascule.model.errors import Damaged

ONE, TWO = DiskKey("vm", "sda"), DiskKey("vm", "sdb")
SIZE = 100 * BLOCK


class Desk:
    """Keeps what is saved, and notes in which order things were asked for."""

    def __init__(self) -> None:
        self.kept = b""
        self.diary: list[str] = []

    def save(self, data: bytes) -> None:
        self.kept = data
        self.diary.append("save")

    def settle(self) -> None:
        self.diary.append("settle")


def opened(desk: Desk, about: str = "image", point: str = "g/1") -> Journal:
    journal = Journal(about, desk.save, desk.kept)
    journal.open(point)
    return journal


def settled(journal: Journal, disk: DiskKey = ONE, size: int = SIZE) -> list[Extent]:
    return list(journal.settled(disk, size).extents())


def test_marks_come_back_per_disk() -> None:
    desk = Desk()
    journal = opened(desk)
    assert settled(journal) == settled(journal, TWO) == []
    journal.mark(ONE, [Extent(0, BLOCK), Extent(5 * BLOCK, BLOCK)], desk.settle)
    journal.mark(TWO, [Extent(BLOCK, 9 * BLOCK)], desk.settle)
    journal.keep(desk.settle)
    again = opened(desk)
    assert settled(again) == [(0, BLOCK), (5 * BLOCK, BLOCK)]
    assert settled(again, TWO) == [(BLOCK, 9 * BLOCK)]


def test_marks_are_settled_before_they_are_saved() -> None:
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    journal.mark(ONE, [Extent(0, BLOCK)], desk.settle)
    assert desk.diary == []
    journal.keep(desk.settle)
    assert desk.diary == ["settle", "save"]


def test_marks_are_saved_after_so_many_bytes_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_BYTES", 3 * BLOCK)
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    for block in range(6):
        journal.mark(ONE, [Extent(block * BLOCK, BLOCK)], desk.settle)
    assert desk.diary == ["settle", "save"] * 2


def test_what_is_marked_while_others_are_settled_is_not_saved_with_them() -> None:
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    journal.mark(ONE, [Extent(0, BLOCK)], desk.settle)
    journal.keep(lambda: journal.mark(ONE, [Extent(BLOCK, BLOCK)], desk.settle))
    assert settled(opened(desk)) == [(0, BLOCK)]


def test_marks_that_could_not_be_settled_are_not_saved() -> None:
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    journal.mark(ONE, [Extent(0, BLOCK)], desk.settle)
    with pytest.raises(ZeroDivisionError):
        journal.keep(lambda: 1 // 0)
    journal.keep(desk.settle)
    assert settled(opened(desk)) == []


def test_nothing_is_saved_when_nothing_was_marked() -> None:
    desk = Desk()
    opened(desk).keep(desk.settle)
    assert desk.diary == []


@pytest.mark.parametrize(("about", "point"), [("other", "g/1"), ("image", "g/2")])
def test_marks_about_something_else_do_not_count(about: str, point: str) -> None:
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    journal.mark(ONE, [Extent(0, BLOCK)], desk.settle)
    journal.keep(desk.settle)
    assert settled(opened(desk, about, point)) == []


def test_a_disk_that_changed_its_size_has_no_marks() -> None:
    desk = Desk()
    journal = opened(desk)
    journal.settled(ONE, SIZE)
    journal.mark(ONE, [Extent(0, BLOCK)], desk.settle)
    journal.keep(desk.settle)
    assert settled(opened(desk), size=SIZE + 1) == []


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"subject": "image g/1", "disks": [["a", "b", "!"]]}'])
def test_a_journal_that_cannot_be_read_names_the_cure(kept: bytes) -> None:
    desk = Desk()
    desk.kept = kept
    with pytest.raises(Damaged, match="remove it"):
        opened(desk)
