from __future__ import annotations

import subprocess
import sys

import pytest

SAY = """
import sys
from bascule.apps import logs
logs.install({{"BASCULE_LOG": "{level}"}} if "{level}" else {{}})
import structlog
log = structlog.get_logger("room")
assert "rich" not in sys.modules and "structlog.dev" not in sys.modules
log.info("room.something_happened", bytes=5)
log.warning("room.something_went_wrong", key="value")
from structlog import get_logger
get_logger().error("room.again")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "lines"), [("", 2), ("warning", 2), ("info", 3), ("error", 1), ("nonsense", 2)]
)
def test_logs_go_to_standard_error_from_the_level_that_was_asked_for(level: str, lines: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(level=level)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == lines
    assert "event='room.again'" in done.stderr
