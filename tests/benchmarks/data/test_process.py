from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks.data.process import Failed, greets, output, peak_bytes, run, serving


def test_cpu_time_and_memory_of_a_command_are_its_own() -> None:
    cost = run([sys.executable, "-c", "x = bytearray(64 << 20)\nfor i in range(3_000_000): pass"])

    assert 0.01 < cost.cpu_s <= cost.wall_s + 0.1
    assert cost.peak_bytes > 64 << 20


def test_a_command_that_fails_fails_the_run_with_what_it_said() -> None:
    with pytest.raises(Failed, match="ended with 3:\nno room"):
        run([sys.executable, "-c", "print('no room'); raise SystemExit(3)"])


def test_output_of_a_failing_command_is_not_taken_for_an_answer() -> None:
    with pytest.raises(Failed, match="broken"):
        output([sys.executable, "-c", "raise SystemExit('broken')"])


def test_a_server_is_ready_when_it_greets_and_gone_after_the_block(tmp_path: Path) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "s"
    program = (
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
        "while True: s.accept()[0].send(b'NBDMAGIC')\n"
    )
    with serving([sys.executable, "-c", program, path], greets(path)) as pid:
        assert peak_bytes(pid) > 1 << 20
        os.kill(pid, 0)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_somebody_who_listens_but_does_not_greet_is_no_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()

        assert not greets(tmp_path / "s")()


def test_a_server_that_ends_is_not_waited_for() -> None:
    started = time.monotonic()

    with (
        pytest.raises(Failed, match="did not start"),
        serving([sys.executable, "-c", "raise SystemExit('address in use')"], lambda: False),
    ):
        pytest.fail("it never served")

    assert time.monotonic() - started < 30
