"""Processes found by the lock they hold, never by a number."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.host.process import Process, holder
from lab.waiting import wait_until

_HOLDS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def held(pid_file: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, pid_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_nobody_holds_a_file_that_is_not_there_or_that_a_dead_process_left(pid_file: Path) -> None:
    assert holder(pid_file) == 0
    pid_file.write_text(f"{os.getpid()}\n")
    assert holder(pid_file) == 0, "the number in it is that of a living process, and means nothing"
    assert Process.running(pid_file) is None


def test_the_kernel_says_who_holds_it_whatever_is_written_in_it(
    pid_file: Path, held: subprocess.Popen[str]
) -> None:
    pid_file.write_text("1\n")
    assert holder(pid_file) == held.pid
    process = Process.running(pid_file)
    assert process is not None
    assert not process.has_ended(0.01)
    process.kill()
    assert process.has_ended(30)
    process.kill()
    process.close()
    process.close()
    assert holder(pid_file) == 0


def test_a_process_is_awaited_without_being_ours(pid_file: Path, held: subprocess.Popen[str]) -> None:
    with Process.running(pid_file) or pytest.fail("it runs") as process:
        held.communicate("")
        assert process.has_ended(30)
    wait_until(lambda: Process.running(pid_file) is None)
