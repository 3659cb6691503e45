"""docs/formats/store.md is true: a reader written from it alone reads what Bascule wrote."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from blake3 import blake3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zstandard import ZstdDecompressor

from bascule.data.store import BLOCK, DiskKey
from tests.data.store.scene import GROUP, Scene

Fetch = Callable[[str], bytes]
Source = tuple[str, bytes]
PackedRun = tuple[int, int, int, Source | None, list[int]]
Shown = tuple[int, Source | None, list[int]]
KEY = bytes(range(32))


class Outsider:
    """The document, as code."""

    def __init__(self, fetch: Fetch, names: list[str]) -> None:
        self.fetch = fetch
        self.vault = bytes.fromhex(json.loads(fetch("format"))["vault"])
        key = next(name for name in names if name.startswith(f"keys/{self.vault.hex()}/"))
        fields = json.loads(fetch(key))
        nonce, wrapped = (bytes.fromhex(fields.pop(name)) for name in ("nonce", "wrapped"))
        bound = self.vault + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        wrap = blake3(KEY, derive_key_context="bascule 1 key file wrap").digest()
        self.data_key = AESGCM(wrap).decrypt(nonce, wrapped, bound)

    def open(self, salt: bytes, number: int, sealed: bytes, place: tuple[int, bytes, int, int, int]) -> bytes:
        kind, owner, offset, length, flags = place
        key = HKDF(hashes.SHA256(), 32, salt, b"bascule 1 object").derive(self.data_key)
        bound = struct.pack("<16sBI16sQIB", self.vault, kind, number, owner, offset, length, flags)
        plain = AESGCM(key).decrypt(number.to_bytes(12, "big"), sealed, bound)
        return plain if flags & 1 else ZstdDecompressor().decompress(plain)

    def payload(self, name: str, kind: int) -> tuple[bytes, bytes]:
        data = self.fetch(name)
        magic, found, _, salt, vault = struct.unpack_from("<8sB7s32s16s", data)
        assert (magic, found, vault) == (b"BASCULE\x01", kind, self.vault)
        at, length, _, _, _, end = struct.unpack("<QIIII8s", data[-32:])
        assert end == b"\x01ELUCSAB"
        tag = blake3(name.encode()).digest(16)
        return salt, self.open(salt, 0xFFFFFFFE, data[at : at + length], (kind, tag, at, 0, 0))

    def frame(self, source: Source, ref: list[int], owner: bytes, offset: int) -> bytes:
        number, at, sealed, plain, flags = ref
        name, salt = source
        try:
            data = self.fetch(name)
        except KeyError:
            table = self.page(self.payload(f"moved/{name}", 4)[1])
            (moved,) = [run for run in table if run[0] == number]
            return self.frame(moved[3], moved[4], owner, offset)
        kind = 1 if name.startswith("segments/") else 2
        return self.open(salt, number, data[at : at + sealed], (kind, owner, offset, plain, flags))

    @staticmethod
    def sources(data: bytes, count: int) -> tuple[list[Source], int]:
        found, at = [], 8
        for _ in range(count):
            end = at + 1 + data[at]
            found.append((data[at + 1 : end].decode(), data[end : end + 32]))
            at = end + 32
        return found, at

    def page(self, data: bytes) -> list[PackedRun]:
        names, runs = struct.unpack_from("<II", data)
        sources, at = self.sources(data, names)
        columns = []
        for code in "IHHIIIIIB":
            columns.append(struct.unpack_from(f"<{runs}{code}", data, at))
            at += runs * struct.calcsize(f"<{code}")
        assert at == len(data)
        return [
            (block, span, skip, sources[source - 1] if source else None, list(frame))
            for block, span, skip, source, *frame in zip(*columns, strict=True)
        ]

    def disk(self, name: str, machine: str, disk: str) -> bytes:
        fields = json.loads(self.payload(name, 2)[1])
        sources = [(source, bytes.fromhex(salt)) for source, salt in fields["sources"]]
        (about,) = [
            d for m in fields["machines"] if m["id"] == machine for d in m["disks"] if d["id"] == disk
        ]
        owner = blake3(f"{machine}\0{disk}".encode()).digest(16)
        shown: dict[int, Shown] = {}
        for _, first, _, (source, *ref) in reversed(about["layers"]):
            index = self.frame(sources[source], ref, owner, first)
            names, at = self.sources(index, struct.unpack_from("<I", index)[0])
            for low, _, _, which, *page in struct.iter_unpack("<IIIIIIIIB", index[at:]):
                self.lay(shown, self.page(self.frame(names[which], page, owner, low)))
        if about["inline"]:
            source, *ref = about["inline"]
            self.lay(shown, self.page(self.frame(sources[source], ref, owner, 0)))
        return self.content(shown, owner, about["size"])

    @staticmethod
    def lay(shown: dict[int, Shown], page: list[PackedRun]) -> None:
        for block, span, skip, source, ref in page:
            for i in range(span):
                shown[block + i] = (skip + i, source, ref)

    def content(self, shown: dict[int, Shown], owner: bytes, size: int) -> bytes:
        content = bytearray(-(-size // 65536) * 65536)
        for block, (skip, source, ref) in shown.items():
            if source is not None:
                plain = self.frame(source, ref, owner, (block - skip) * 65536)[skip * 65536 :][:65536]
                content[block * 65536 : block * 65536 + len(plain)] = plain
        return bytes(content[:size])


def test_a_reader_written_from_the_document_reads_every_point() -> None:
    disks = {DiskKey("web", "a"): 40 * BLOCK + 100, DiskKey("web", "b"): 3 * BLOCK}
    a, b = disks
    scene = Scene(disks=disks).init()
    with scene.writer() as writer:
        scene.point(writer, {a: {i: i + 1000 for i in range(40)}, b: {1: 7}})
        for i in range(1, 14):
            scene.point(
                writer, {a: {i % 40: i, i * 5 % 40: i + 100, i * 7 % 40: 0 if i % 4 == 0 else i + 50}, b: {}}
            )
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.remove(GROUP, [n for n in scene.listed()[:-1] if n % 3])
        upkeep.sweep()
        upkeep.compact()
    names = list(scene.objects.names())
    assert any(name.startswith("moved/") for name in names), "the reader must meet frames that moved"
    contents = {name: scene.objects.content(name) for name in names}
    outsider = Outsider(contents.__getitem__, names)
    for number in scene.listed():
        downwards = f"{999_999_999_999 - number:012d}"
        name = f"points/{GROUP}/{downwards[:10]}/{downwards[10:]}.{number}"
        for disk, content in scene.points[number].items():
            assert outsider.disk(name, *disk) == content
