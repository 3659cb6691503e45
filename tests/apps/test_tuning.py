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


HOLD = """
from asyncio.sslproto import SSLProtocol
from bascule.apps.tools import SystemTools
before = SSLProtocol.max_size
SystemTools({}, owns_process=True)._hold_many_lines()
print(before, SSLProtocol.max_size)
"""


def test_a_process_with_the_lines_of_many_hosts_gives_each_an_eighth_of_the_usual_buffer() -> None:
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, check=True, text=True)
    before, after = map(int, done.stdout.split())
    assert after * 8 == before
