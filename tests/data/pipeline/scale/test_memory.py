from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_MIB = 256


@pytest.mark.lab
def test_a_terabyte_is_copied_compared_and_restored_in_bounded_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.pipeline.scale.terabyte", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= LIMIT_MIB
