"""Settings of a whole process are made by processes that serve disks, and by no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bascule.apps.tools import SystemTools

TELL = """
import sys
from bascule.apps.tools import SystemTools
SystemTools({}, owns_process=True).tune_for_serving()
print(sys.getswitchinterval())
"""


def test_a_process_of_its_own_hands_the_interpreter_on_soon() -> None:
    done = subprocess.run([sys.executable, "-c", TELL], capture_output=True, check=True, text=True)
    assert float(done.stdout) == pytest.approx(0.0005)


def test_a_process_that_does_other_things_too_stays_as_it_is() -> None:
    before = sys.getswitchinterval()
    SystemTools({}).tune_for_serving()
    assert sys.getswitchinterval() == before
