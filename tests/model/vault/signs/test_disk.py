"""What a host says of disks is read for what it is worth."""

from __future__ import annotations

import pytest

from bascule.model.vault.commands import Json
from bascule.model.vault.signs.disk import DISKS_MAX, Disk, disks_said

ONE: dict[str, Json] = {"machine": "web", "id": "disk0", "size_bytes": 1 << 30, "is_protected": True}


def test_disks_are_named_with_their_sizes_and_whether_they_are_replicated() -> None:
    said: list[Json] = [ONE, {**ONE, "id": "disk1", "is_protected": False, "of a newer host": 1}]
    assert disks_said({"disks": said}) == (Disk("disk0", 1 << 30), Disk("disk1", 1 << 30, False))
    assert disks_said({}) == ()


@pytest.mark.parametrize(
    "bad",
    [
        *("disk0", None, 7, [ONE], {**ONE, "id": ""}, {**ONE, "id": "x" * 256}, {**ONE, "id": 7}),
        *({**ONE, "size_bytes": size} for size in (-1, "1", True, 1.5, 1 << 63, None)),
        {"id": "disk0"},
    ],
)
def test_what_is_no_disk_is_left_out(bad: Json) -> None:
    assert disks_said({"disks": [bad, ONE]}) == (Disk("disk0", 1 << 30),)


@pytest.mark.parametrize("bad", ["disk0", None, 7, ONE])
def test_what_is_no_list_of_disks_is_none(bad: Json) -> None:
    assert disks_said({"disks": bad}) == ()


def test_of_very_many_disks_the_first_are_kept() -> None:
    said: list[Json] = [{**ONE, "id": f"disk{number}"} for number in range(1000)]
    assert [one.id for one in disks_said({"disks": said})] == [f"disk{number}" for number in range(DISKS_MAX)]
