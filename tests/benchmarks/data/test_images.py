from __future__ import annotations

from pathlib import Path

import pytest

from bascule.blocks.extents import total
from benchmarks.data.images import BLOCK, MIB, dense, digest, evict, mixed, must_equal, warm
from benchmarks.data.process import Failed

SIZE = 32 * MIB


def test_two_fifths_of_the_mixed_image_are_zero_and_half_of_them_holes(tmp_path: Path) -> None:
    image = mixed(tmp_path, SIZE)

    content = image.before.read_bytes()
    zero = sum(not any(content[at : at + BLOCK]) for at in range(0, SIZE, BLOCK))
    assert zero == pytest.approx(0.4 * SIZE / BLOCK, abs=8)
    assert image.before.stat().st_blocks * 512 == pytest.approx(0.8 * SIZE, rel=0.05)


def test_the_changed_image_differs_exactly_where_the_extents_say(tmp_path: Path) -> None:
    image = mixed(tmp_path, SIZE)

    before, after = image.before.read_bytes(), image.after.read_bytes()
    differ = {at for at in range(0, SIZE, BLOCK) if before[at : at + BLOCK] != after[at : at + BLOCK]}
    told = {at for extent in image.changed for at in range(extent.offset, extent.end, BLOCK)}
    assert differ <= told
    assert len(told - differ) <= 2  # a zero block that became zero
    assert total(image.changed) == SIZE // 100 // BLOCK * BLOCK


def test_an_image_that_is_not_what_it_was_is_made_again(tmp_path: Path) -> None:
    image = mixed(tmp_path, SIZE)
    right = digest(image.before)
    with image.before.open("r+b") as file:
        file.write(b"somebody was here")

    assert digest(mixed(tmp_path, SIZE).before) == right


def test_the_dense_image_has_no_zero_block(tmp_path: Path) -> None:
    content = dense(tmp_path, SIZE).read_bytes()

    assert len(content) == SIZE
    assert sum(not any(content[at : at + BLOCK]) for at in range(0, SIZE, BLOCK)) <= 1


@pytest.mark.parametrize("at", [0, MIB, 3 * MIB - 1])
def test_one_wrong_byte_fails_the_run(tmp_path: Path, at: int) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    content = bytearray(3 * MIB)
    right.write_bytes(content)
    content[at] = 1
    wrong.write_bytes(content)

    must_equal(right, right, "me")
    with pytest.raises(Failed, match="me restored wrong bytes"):
        must_equal(wrong, right, "me")


def test_a_short_restore_fails_the_run(tmp_path: Path) -> None:
    right, short = tmp_path / "right", tmp_path / "short"
    right.write_bytes(bytes(100))
    short.write_bytes(bytes(99))

    with pytest.raises(Failed, match="restored 99 bytes of 100"):
        must_equal(short, right, "me")


def test_files_are_the_same_after_warming_and_evicting(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_bytes(b"content")

    warm(tmp_path)
    evict(tmp_path)

    assert file.read_bytes() == b"content"
