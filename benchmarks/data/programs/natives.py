"""The floor of a copy: the native calls that a sealed copy cannot do without, in two threads.

Reads, looks for zeroes, compresses, hashes, encrypts and writes durably, with the copy's own sizes and
parameters. No maps, no names, no progress, no errors, no way to read any of it again.

python -m benchmarks.data.programs.natives SOURCE TARGET
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Thread

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import ZstdCompressor

from bascule.blocks.cut import BLOCK, FRAME
from bascule.blocks.memory import aligned
from bascule.blocks.zeroes import ZeroTest
from bascule.data.store.format.container import FAST, SEGMENT_BYTES

_THREADS = 2
_READ = 1 << 20
_TAG = 16
_PAGE = 4096


class _Thread:
    """Takes one piece of the source after another, and fills files of its own with what comes of them."""

    def __init__(self, source: int, target: Path, pieces: Iterator[int]) -> None:
        self._source, self._target, self._pieces = source, target, pieces
        self._cipher = AESGCM(os.urandom(32))
        self._compress = ZstdCompressor(compression_params=FAST).compress
        self._out = aligned(SEGMENT_BYTES + _READ)
        self._at = self._frames = self._files = 0

    def run(self) -> None:
        buffer = aligned(_READ)
        zeroes = ZeroTest(buffer)
        while found := os.preadv(self._source, [buffer], next(self._pieces) * _READ):
            for run in zeroes.data_blocks(0, found, BLOCK):
                for start in range(run.offset, run.end, FRAME):
                    self._frame(buffer[start : min(start + FRAME, run.end)])
        self._write()

    def _frame(self, plain: memoryview) -> None:
        packed = self._compress(plain)
        body = packed if len(packed) < len(plain) else plain
        digest = blake3(plain).digest()
        end = self._at + len(body) + _TAG
        self._cipher.encrypt_into(self._frames.to_bytes(12, "big"), body, digest, self._out[self._at : end])
        self._frames, self._at = self._frames + 1, end
        if end >= SEGMENT_BYTES - FRAME:
            self._write()

    def _write(self) -> None:
        """Make durable what there is, straight from this memory."""
        name = self._target / f"{id(self):x}-{self._files}"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT)
        try:
            os.pwrite(file, self._out[: -(-self._at // _PAGE) * _PAGE], 0)
            os.fsync(file)
        finally:
            os.close(file)
        self._files, self._at = self._files + 1, 0


def main() -> None:
    source, target = os.open(sys.argv[1], os.O_RDONLY), Path(sys.argv[2])
    pieces = count()
    threads = [Thread(target=_Thread(source, target, pieces).run) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder = os.open(target, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


if __name__ == "__main__":
    main()
