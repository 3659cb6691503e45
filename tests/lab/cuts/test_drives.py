"""A drive that loses its power forgets what nobody flushed, so that tests with it can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from .drives import Drive, written

pytestmark = pytest.mark.lab


def test_a_drive_that_lost_its_power_holds_what_was_flushed_and_nothing_else(tmp_path: Path) -> None:
    drive = Drive.new(tmp_path / "image", tmp_path / "mount", 64 << 20)
    try:
        (drive.mount / "flushed").write_bytes(bytes(1000))
        drive.flush()
        (drive.mount / "not flushed").write_bytes(bytes(1000))
        drive.cut()
        assert written(drive.mount) == 2000
        with pytest.raises(OSError, match="Input/output"):
            (drive.mount / "too late").write_bytes(b"1")
        drive.exchange()
        assert written(drive.mount) == 1000
    finally:
        drive.leave()
