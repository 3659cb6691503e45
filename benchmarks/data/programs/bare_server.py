"""The floor of serving: a sealed disk behind NBD, with nothing that a server of this form could leave out.

Frames of our size, compressed and sealed with our parameters, lie in one file; what is asked for is read,
opened, decompressed, kept in a cache of our size and sent. No maps, no pins, no overlay, no errors, no
hostile peers, no close: whoever asks for anything else gets nothing.

python -m benchmarks.data.programs.bare_server IMAGE SEALED SOCKET THREADS
"""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock, Thread

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import ZstdCompressor, ZstdDecompressor

from bascule.blocks.cut import BLOCK, FRAME
from bascule.blocks.memory import aligned
from bascule.blocks.zeroes import ZeroTest
from bascule.data.store.format.container import FAST

_KEY = bytes(32)
_CACHED_FRAMES = (256 << 20) // FRAME
_REQUEST = struct.Struct(">IHHQQI")
_CHUNK = struct.Struct(">IHHQI")
_REPLY_MAGIC = 0x668E33EF
_READ, _DISCONNECT = 0, 2
_DONE, _DATA, _HOLE, _EXTENTS = 1, 1, 2, 5
# Structured replies, meta contexts, then the export: what libnbd asks for, answered without a look at it.
_GO, _LIST_META, _SET_META = 7, 9, 10
_ACK, _INFO, _META = 1, 3, 4
_FLAGS = 1 | 2 | 1 << 7 | 1 << 8  # read-only, and several connections may be used

Frame = tuple[int, int, bool] | None


class Sealed:
    """The frames of an image in one file; those of only zeroes are in none."""

    def __init__(self, index: list[Frame], size: int, file: int) -> None:
        self.index, self.size, self._file = index, size, file
        self._cipher = AESGCM(_KEY)
        self._cache: dict[int, bytes | memoryview] = {}

    @classmethod
    def of(cls, image: Path, path: Path) -> Sealed:
        """Seal an image, once."""
        if not path.exists():
            _seal(image, path)
        index, size = pickle.loads(path.with_suffix(".index").read_bytes())
        return cls(index, size, os.open(path, os.O_RDONLY))

    def plain(self, number: int, decompressor: ZstdDecompressor) -> bytes | memoryview:
        """Return a frame; two that ask for one at once may both decode it."""
        cache = self._cache
        found = cache.get(number)
        if found is None:
            at = self.index[number]
            assert at is not None
            offset, length, is_packed = at
            found = self._cipher.decrypt(
                number.to_bytes(12, "big"), os.pread(self._file, length, offset), None
            )
            if is_packed:
                found = decompressor.decompress(found, max_output_size=FRAME)
            while len(cache) >= _CACHED_FRAMES:
                cache.pop(next(iter(cache)), None)
            cache[number] = found
        return found


def _seal(image: Path, path: Path) -> None:
    index: list[Frame] = []
    cipher, compress = AESGCM(_KEY), ZstdCompressor(compression_params=FAST).compress
    buffer, at = aligned(FRAME), 0
    zeroes = ZeroTest(buffer)
    with image.open("rb") as source, path.open("wb") as sealed:
        for number in itertools.count():
            if not (length := source.readinto(buffer)):
                break
            if not list(zeroes.data_blocks(0, length, BLOCK)):
                index.append(None)
                continue
            packed = compress(buffer[:length])
            is_packed = len(packed) < length
            body = cipher.encrypt(number.to_bytes(12, "big"), packed if is_packed else buffer[:length], None)
            sealed.write(body)
            index.append((at, len(body), is_packed))
            at += len(body)
    path.with_suffix(".index").write_bytes(pickle.dumps((index, image.stat().st_size)))


class _Connection:
    """One client. Whoever of its threads is free takes the next request, decodes and answers."""

    def __init__(self, disk: Sealed, client: socket.socket) -> None:
        self._disk, self._client = disk, client
        self._taking, self._sending = Lock(), Lock()
        self._got, self._at = b"", 0

    def run(self, threads: int) -> None:
        self._greet()
        for _ in range(threads):
            Thread(target=self._serve, daemon=True).start()

    def _exactly(self, count: int) -> bytes:
        return self._client.recv(count, socket.MSG_WAITALL)

    def _greet(self) -> None:
        self._client.sendall(struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 3))
        self._exactly(4)
        option = -1
        while option != _GO:
            _, option, length = struct.unpack(">QII", self._exactly(16))
            if length:
                self._exactly(length)
            if option in (_LIST_META, _SET_META):
                self._answer(option, _META, struct.pack(">I", 1) + b"base:allocation")
            elif option == _GO:
                self._answer(option, _INFO, struct.pack(">HQH", 0, self._disk.size, _FLAGS))
            self._answer(option, _ACK, b"")

    def _answer(self, option: int, kind: int, body: bytes) -> None:
        self._client.sendall(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(body)) + body)

    def _serve(self) -> None:
        decompressor = ZstdDecompressor()
        while True:
            with self._taking:
                if self._at >= len(self._got) and not self._receive():
                    return
                _, _, kind, cookie, offset, length = _REQUEST.unpack_from(self._got, self._at)
                self._at += _REQUEST.size
            if kind == _DISCONNECT:
                self._client.shutdown(socket.SHUT_RDWR)
                return
            parts = (
                self._read(cookie, offset, length, decompressor)
                if kind == _READ
                else self._status(cookie, offset, length)
            )
            with self._sending:
                self._send(parts)

    def _send(self, parts: Sequence[bytes | memoryview]) -> None:
        sent = self._client.sendmsg(parts)
        for part in parts:
            if sent < len(part):
                self._client.sendall(memoryview(part)[sent:])
            sent = max(sent - len(part), 0)

    def _receive(self) -> bool:
        got = self._client.recv(_REQUEST.size * 64)
        if got and len(got) % _REQUEST.size:
            got += self._exactly(_REQUEST.size - len(got) % _REQUEST.size)
        self._got, self._at = got, 0
        return bool(got)

    def _read(
        self, cookie: int, offset: int, length: int, decompressor: ZstdDecompressor
    ) -> list[bytes | memoryview]:
        end = offset + length
        parts: list[bytes | memoryview] = []
        while offset < end:
            number, start = divmod(offset, FRAME)
            count = min(FRAME - start, end - offset)
            flag = _DONE if offset + count == end else 0
            if self._disk.index[number] is None:
                head = _CHUNK.pack(_REPLY_MAGIC, flag, _HOLE, cookie, 12)
                parts.append(head + struct.pack(">QI", offset, count))
            else:
                plain = self._disk.plain(number, decompressor)
                head = _CHUNK.pack(_REPLY_MAGIC, flag, _DATA, cookie, 8 + count)
                parts += [head + offset.to_bytes(8, "big"), memoryview(plain)[start : start + count]]
            offset += count
        return parts

    def _status(self, cookie: int, offset: int, length: int) -> list[bytes]:
        """Frames with data, and those without."""
        end, extents = min(offset + length, self._disk.size), []
        while offset < end:
            number = offset // FRAME
            is_hole = self._disk.index[number] is None
            while number * FRAME < end and (self._disk.index[number] is None) == is_hole:
                number += 1
            reached = min(number * FRAME, end)
            extents.append(struct.pack(">II", reached - offset, 3 if is_hole else 0))
            offset = reached
        body = struct.pack(">I", 1) + b"".join(extents)
        return [_CHUNK.pack(_REPLY_MAGIC, _DONE, _EXTENTS, cookie, len(body)) + body]


def main() -> None:
    image, sealed, path, threads = sys.argv[1:]
    disk = Sealed.of(Path(image), Path(sealed))
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            client, _ = listener.accept()
            Thread(target=_Connection(disk, client).run, args=(int(threads),), daemon=True).start()


if __name__ == "__main__":
    main()
