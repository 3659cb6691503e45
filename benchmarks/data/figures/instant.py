"""A recovery point served as a disk: how soon, how fast in order, how fast at random.

In order over the mixed image, which is what a hydration or a first backup reads;
and, with random reads, over a dense one: holes would flatter a server that may
answer them with twelve bytes. Every server starts anew for each measurement; the files under all
of them are in the page cache. Peers: qemu-nbd on the raw image (no decoding at
all), and on a zstd-compressed qcow2 (the platform's own way to keep it small). ``bare`` is the floor of a
server of our form, with nothing around the native calls that could be left out.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report

from .. import images
from ..bench import Bench, alternate
from ..ours import EXPORT, Store
from ..process import greets, output, peak_bytes, run, say, serving, socket_path
from ..tools import apt
from .memory import memory

IN_ORDER: Final = ("serve-sequential", "serve-sequential-dense")
AT_RANDOM: Final = ("serve-cold-4k", "serve-hot-4k")
NAMES: Final = ("serve-start", *IN_ORDER, *AT_RANDOM, "memory-serve")
_HOT_BYTES: Final = 64 * images.MIB
_SOON_S: Final = 0.1
RAW: Final = "qemu-nbd-raw"
BARE: Final = "bare"
WHO: Final = (OURS, RAW, "qemu-nbd-zstd-qcow2", BARE)


class _Servers:
    """The same disk behind ours and behind the peers; each call starts a cold server on ``socket``."""

    def __init__(self, room: Path, image: Path) -> None:
        room.mkdir()
        self._image = image
        self._small = room / "disk.qcow2"
        self._bare_disk = room / "disk.sealed"
        self._store = Store(room)
        self.socket = socket_path("served")
        self._store.init()
        self._store.copy(image)
        convert = ["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"]
        run(["qemu-img", *convert, image, self._small])
        with self._bare(1):
            pass  # it seals the disk when it starts for the first time
        for file in (image, self._small, self._bare_disk, room / "store"):
            images.warm(file)

    @property
    def address(self) -> str:
        return f"nbd+unix:///{EXPORT}?socket={self.socket}"

    def of(self, who: str, threads: int = 1) -> AbstractContextManager[int]:
        """Start a server; it is ready inside the block. A bare one has ``threads`` for each connection."""
        if who == OURS:
            return self.ours()
        if who == BARE:
            return self._bare(threads)
        return self._qemu("raw", self._image) if who == RAW else self._qemu("qcow2", self._small)

    def ours(self) -> AbstractContextManager[int]:
        return self._store.serve(self.socket)

    def _bare(self, threads: int) -> AbstractContextManager[int]:
        program = [sys.executable, "-m", "benchmarks.data.programs.bare_server"]
        place: list[str | Path] = [self._image, self._bare_disk, self.socket, str(threads)]
        return serving([*program, *place], greets(self.socket))

    def _qemu(self, kind: str, file: Path) -> AbstractContextManager[int]:
        self.socket.unlink(missing_ok=True)
        words: list[str | Path] = [
            "qemu-nbd",
            "-r",
            "-t",
            "-e",
            "8",
            "-x",
            EXPORT,
            "-f",
            kind,
            "-k",
            self.socket,
            file,
        ]
        return serving(words, greets(self.socket))


class _Bench:
    """The measurements, and the reports they go into."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self.start = Report(Figure("serve-start", "s"))
        self.in_order = {name: Report(Figure(name, "s")) for name in IN_ORDER}
        self.cold = Report(Figure("serve-cold-4k", "IOPS", more_is_better=True))
        self.hot = Report(Figure("serve-hot-4k", "IOPS", more_is_better=True))
        self.peak = 0

    def started(self, servers: _Servers) -> None:
        """Start ours from nothing, to the first byte of its greeting."""
        begun = time.perf_counter()
        with servers.ours():
            self.start.add(OURS, time.perf_counter() - begun)
            self.start.add(f"{_SOON_S} s", _SOON_S)

    def read_in_order(self, name: str, servers: _Servers, who: str) -> None:
        with servers.of(who) as pid:
            cost = run(["nbdcopy", servers.address, "null:"])
            self._watch(who, pid)
        say(f"{name} {who}: {cost.wall_s:.2f} s")
        self.in_order[name].add(who, cost.wall_s)

    def read_at_random(self, servers: _Servers, who: str) -> None:
        """Cold over the whole disk, then hot over 64 MiB of a server that has read them once."""
        with servers.of(who, threads=2) as pid:
            self.cold.add(who, self._fio(servers.address))
            self._watch(who, pid)
        with servers.of(who, threads=2) as pid:
            self._fio(servers.address, "--rw=read", "--bs=1M", f"--size={_HOT_BYTES}")
            self.hot.add(who, self._fio(servers.address, f"--size={_HOT_BYTES}", "--norandommap"))
            self._watch(who, pid)

    def _fio(self, address: str, *more: str) -> float:
        """Return the reads a second of 4 KiB at random, 16 in flight, unless ``more`` says otherwise."""
        timed = [] if "--rw=read" in more else ["--time_based", f"--runtime={self._seconds}", "--rw=randread"]
        words = ["fio", "--name=reads", "--ioengine=nbd", f"--uri={address}", "--bs=4k"]
        said = output([*words, "--iodepth=16", "--output-format=json", *timed, *more])
        iops = float(json.loads(said[said.index("{") :])["jobs"][0]["read"]["iops"])
        say(f"{' '.join(more) or 'random, cold'}: {iops:.0f} IOPS")
        return iops

    def _watch(self, who: str, pid: int) -> None:
        if who == OURS:
            self.peak = max(self.peak, peak_bytes(pid))


def measure(bench: Bench) -> None:
    """Print serve-start, serve-sequential and -dense, serve-cold-4k, serve-hot-4k and memory-serve."""
    apt("fio", "fio")
    with bench.room("instant") as room:
        taken = _Bench(seconds=1 if bench.quick else 5)
        mixed = _Servers(room / "mixed", bench.mixed().before)
        alternate(bench.rounds, [partial(taken.started, mixed)])
        if bench.wants("serve-sequential"):
            alternate(bench.rounds, [partial(taken.read_in_order, IN_ORDER[0], mixed, who) for who in WHO])
        if any(map(bench.wants, (IN_ORDER[1], *AT_RANDOM))):
            _dense(bench, taken, _Servers(room / "dense", images.dense(bench.cache, bench.size_bytes)))
    bench.emit(taken.start, *taken.in_order.values(), taken.cold, taken.hot)
    bench.emit(memory("memory-serve", taken.peak))


def _dense(bench: Bench, taken: _Bench, servers: _Servers) -> None:
    steps = [partial(taken.read_in_order, IN_ORDER[1], servers, who) for who in WHO]
    if any(map(bench.wants, AT_RANDOM)):
        steps += [partial(taken.read_at_random, servers, who) for who in WHO]
    alternate(bench.rounds, steps)
