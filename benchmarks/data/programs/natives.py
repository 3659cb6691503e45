"""The floor of a copy: the native calls that a sealed copy cannot do without, in two threads.

Reads, looks for zeroes, compresses, hashes, encrypts and writes durably, with the copy's own sizes and
parameters. No maps, no names, no progress, no errors, no way to read any of it again.

python -m benchmarks.data.programs.natives SOURCE FOLDER
python -m benchmarks.data.programs.natives SOURCE az://CONTAINER/PREFIX
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import obstore
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from obstore.store import AzureStore
from zstandard import ZstdCompressor

from bascule.blocks.cut import BLOCK, FRAME
from bascule.blocks.memory import aligned
from bascule.blocks.zeroes import ZeroTest
from bascule.data.store.format.container import FAST, SEGMENT_BYTES

_THREADS = 2
_UPLOADS = 4
_READ = 1 << 20
_TAG = 16
_PAGE = 4096


class _Place(Protocol):
    """Takes what was sealed, from memory that it lends."""

    def lend(self) -> memoryview: ...

    def keep(self, name: str, sealed: memoryview, length: int) -> None: ...

    def close(self) -> None:
        """Return when all of it is durable."""


class _Folder:
    """Files, straight from this memory to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[memoryview] = []

    def lend(self) -> memoryview:
        return self._free.pop() if self._free else aligned(SEGMENT_BYTES + _READ)

    def keep(self, name: str, sealed: memoryview, length: int) -> None:
        file = os.open(self._path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT)
        try:
            os.pwrite(file, sealed[: -(-length // _PAGE) * _PAGE], 0)
            os.fsync(file)
        finally:
            os.close(file)
        self._free.append(sealed)

    def close(self) -> None:
        folder = os.open(self._path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


class _Bucket:
    """Objects of an endpoint, a few on their way at one time."""

    def __init__(self, address: str) -> None:
        container, _, self._prefix = address.removeprefix("az://").partition("/")
        self._store = AzureStore(container, client_options={"allow_http": True})
        self._pool = ThreadPoolExecutor(_UPLOADS)
        self._under_way: list[Future[None]] = []
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_UPLOADS + _THREADS):
            self._free.put(aligned(SEGMENT_BYTES + _READ))

    def lend(self) -> memoryview:
        return self._free.get()

    def keep(self, name: str, sealed: memoryview, length: int) -> None:
        self._under_way.append(self._pool.submit(self._put, name, sealed, length))

    def _put(self, name: str, sealed: memoryview, length: int) -> None:
        try:
            obstore.put(self._store, f"{self._prefix}/{name}", sealed[:length], use_multipart=False)
        finally:
            self._free.put(sealed)

    def close(self) -> None:
        for one in self._under_way:
            one.result()


class _Thread:
    """Takes one piece of the source after another, and fills files of its own with what comes of them."""

    def __init__(self, source: int, place: _Place, pieces: Iterator[int]) -> None:
        self._source, self._place, self._pieces = source, place, pieces
        self._cipher = AESGCM(os.urandom(32))
        self._compress = ZstdCompressor(compression_params=FAST).compress
        self._out = place.lend()
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
        self._place.keep(f"{id(self):x}-{self._files}", self._out, self._at)
        self._out = self._place.lend()
        self._files, self._at = self._files + 1, 0


def main() -> None:
    source, target = os.open(sys.argv[1], os.O_RDONLY), sys.argv[2]
    place = _Bucket(target) if "://" in target else _Folder(Path(target))
    pieces = count()
    threads = [Thread(target=_Thread(source, place, pieces).run) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    place.close()


if __name__ == "__main__":
    main()
