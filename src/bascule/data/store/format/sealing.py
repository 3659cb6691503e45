"""Seals: which key, which nonce, which place.

Every object draws a fresh 256-bit salt; HKDF over the data key and that salt
gives the object its own AES-256-GCM key, so a frame's number can be its nonce
and no number is ever used twice under one key. The associated data names the
place a frame belongs to, so a frame moved anywhere else does not open.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import NamedTuple

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bascule.model.errors import Damaged

SALT_BYTES = 32
TAG_BYTES = 16
INDEX_NONCE = 0xFFFFFFFF
PAYLOAD_NONCE = 0xFFFFFFFE

_PLACE = struct.Struct("<16sBI16sQIB")
_CACHED_CIPHERS = 4096


class Place(NamedTuple):
    """What a frame is and where it belongs; authenticated, never stored with the frame itself."""

    frame: int
    owner: bytes  # 16 bytes: the disk's tag; for payload and index, the tag of the object's name
    offset: int
    plain: int
    flags: int


RAW = 1  # not compressed
MAP = 2  # a page or an index of a disk's map, not bytes of the disk
HOLES = 4  # a page of a map that has holes among its runs


class Sealer:
    """Seals and opens frames of one vault. Thread-safe."""

    def __init__(self, vault: bytes, data_key: bytes) -> None:
        self.vault = vault
        self._data_key = data_key
        self._ciphers: dict[bytes, AESGCM] = {}
        self._guard = threading.Lock()
        self._digest_key = self._derive(b"", b"bascule 1 frame digest")

    def __repr__(self) -> str:
        return f"Sealer(vault={self.vault.hex()}, data_key=***)"

    def _derive(self, salt: bytes, info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt, info).derive(self._data_key)

    def cipher(self, salt: bytes) -> AESGCM:
        """Return the cipher of the object that drew ``salt``."""
        found = self._ciphers.get(salt)
        if found is not None:
            return found
        made = AESGCM(self._derive(salt, b"bascule 1 object"))
        with self._guard:
            self._ciphers[salt] = made
            if len(self._ciphers) > _CACHED_CIPHERS:
                # The oldest, used or not: to make one anew costs less than to keep their order at every read.
                del self._ciphers[next(iter(self._ciphers))]
        return made

    def digester(self) -> Callable[[bytes | memoryview], bytes]:
        """Return the keyed BLAKE3 of plain bytes; keyed, so digests in a listing tell nothing."""
        key = self._digest_key
        return lambda data: blake3(data, key=key).digest()

    def associated(self, kind: int, place: Place) -> bytes:
        """Return the bytes that bind a frame to its vault and place."""
        return _PLACE.pack(self.vault, kind, place.frame, place.owner, place.offset, place.plain, place.flags)

    def seal(self, salt: bytes, kind: int, place: Place, plain: bytes) -> bytes:
        """Return ``plain`` sealed with its tag."""
        return self.cipher(salt).encrypt(nonce(place.frame), plain, self.associated(kind, place))

    def open(self, salt: bytes, kind: int, place: Place, sealed: bytes | memoryview) -> bytes:
        """Return the plain bytes, or raise Damaged if they are not what was sealed for this place."""
        try:
            return self.cipher(salt).decrypt(nonce(place.frame), sealed, self.associated(kind, place))
        except InvalidTag as error:
            raise Damaged("sealed bytes do not belong where they were found, or were changed") from error

    def open_into(self, salt: bytes, kind: int, place: Place, sealed: memoryview, target: memoryview) -> None:
        """Write the plain bytes to ``target``, which has their length, or raise Damaged."""
        try:
            self.cipher(salt).decrypt_into(nonce(place.frame), sealed, self.associated(kind, place), target)
        except InvalidTag as error:
            raise Damaged("sealed bytes do not belong where they were found, or were changed") from error


def nonce(frame: int) -> bytes:
    """Return the nonce of frame number ``frame``."""
    return frame.to_bytes(12, "big")


def name_tag(name: str) -> bytes:
    """Return the 16 bytes that bind payload and index to the name of their object."""
    return blake3(name.encode()).digest(16)


def tag_of(machine: str, disk: str) -> bytes:
    """Return the 16 bytes that stand for a disk wherever it is named inside seals."""
    return blake3(f"{machine}\0{disk}".encode()).digest(16)
