"""Run a command to its end, or a server beside us, and tell what it cost.

CPU seconds and peak memory come from wait4, so they hold the command and the
children it waited for, and nothing of ours.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

LONGEST_S: Final = 1800.0
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
_TOUCH: Final = """
import mmap, sys
memory, piece = mmap.mmap(-1, int(sys.argv[1])), bytes(1 << 20)
for at in range(0, len(memory), len(piece)):
    memory[at : at + len(piece)] = piece
"""


class Failed(Exception):
    """A command, a restore or a set-up step went wrong; the run is worth nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a timed step took."""

    wall_s: float
    cpu_s: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        peak = max(self.peak_bytes, other.peak_bytes)
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, peak)


def say(text: str) -> None:
    """Tell progress to the person watching; stdout belongs to the figures."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command, with ``env`` added to ours; raise Failed with the end of its output if it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log, _child(argv, log, cwd, env) as process:
        killer = threading.Timer(LONGEST_S, process.kill)
        killer.daemon = True
        try:
            killer.start()
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            killer.cancel()
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{_shown(argv)} ended with {process.returncode}:\n{_tail(log)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def output(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Return what a short, untimed command prints."""
    done = subprocess.run(
        [str(word) for word in argv],
        env=_environment(env),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{_shown(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def synced(step: Callable[[], Cost], touch_bytes: int = 0) -> Cost:
    """Run one timed step from a clean disk cache, and count the time until its output is on the disk.

    ``touch_bytes`` of memory are touched first. A virtual machine gives free memory
    back to its host, and getting it again costs up to 3 s a GiB: without this, whoever
    writes through the page cache pays for what others freed.
    """
    os.sync()
    if touch_bytes:
        run([sys.executable, "-c", _TOUCH, str(touch_bytes)])
    cost = step()
    started = time.perf_counter()
    os.sync()
    return cost + Cost(time.perf_counter() - started)


def peak_bytes(pid: int) -> int:
    """Return the most memory a running process has held so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"process {pid} ended before it was looked at")


def spent_seconds(pid: int) -> float:
    """Return the seconds of processor that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(
    argv: Sequence[str | Path], answers: Callable[[], bool], *, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Keep a server running beside the block, which gets its process id once it ``answers``."""
    with tempfile.TemporaryFile() as log, _child(argv, log, None, env) as process:
        try:
            wait_for(answers, process, lambda: f"{_shown(argv)}:\n{_tail(log)}")
            yield process.pid
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def wait_for(answers: Callable[[], bool], process: subprocess.Popen[bytes], said: Callable[[], str]) -> None:
    """Poll every 2 ms until the server answers; raise Failed if it ended or 60 s passed."""
    deadline = time.monotonic() + 60
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the server did not start: {said()}")
        time.sleep(0.002)


@functools.cache
def _sockets() -> tempfile.TemporaryDirectory[str]:
    """One folder for sockets, removed when the benchmark ends."""
    return tempfile.TemporaryDirectory(prefix="bench-")


def socket_path(name: str) -> Path:
    """Return a short place for a Unix socket: its path may have 107 bytes, and the cache may lie deep."""
    return Path(_sockets().name) / name


def greets(path: Path) -> Callable[[], bool]:
    """Return a question: does an NBD server on this Unix socket begin its handshake?"""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)):
                return False
            probe.settimeout(1)
            try:
                return probe.recv(8) == b"NBDMAGIC"
            except TimeoutError:
                return False

    return ask


def listens_tcp(port: int) -> Callable[[], bool]:
    """Return a question: does somebody accept connections on this port of the loopback?"""

    def ask() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ask


@contextlib.contextmanager
def _child(
    argv: Sequence[str | Path], log: IO[bytes], cwd: Path | None, env: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command; what ends the block early ends the command too, be it a signal while it starts."""
    asked: list[int] = []
    before = [(number, signal.signal(number, lambda got, _: asked.append(got))) for number in _STOPS]
    process = subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        for number, handler in before:
            signal.signal(number, handler)
        for late in asked:
            signal.raise_signal(late)
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Return a user's environment: Python keeps what it compiled, so that only the first start is slow."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(more or {})}


def _shown(argv: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in argv)[:200]


def _tail(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
    return log.read().decode(errors="replace")
