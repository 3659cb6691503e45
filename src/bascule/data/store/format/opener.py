"""Open many frames with memory that is allocated once.

A restore opens tens of thousands of frames; handing each out as fresh bytes costs
a fifth of its processor time in page faults and copies.
"""

from __future__ import annotations

from typing import NamedTuple

from zstandard import ZstdDecompressor, ZstdError

from bascule.blocks.memory import aligned
from bascule.model.errors import Damaged

from .container import FrameRef, Kind
from .sealing import RAW, TAG_BYTES, Place, Sealer

_SCRATCH_BYTES = 6 << 20
_FRAME_BYTES = 1 << 20


class Sealed(NamedTuple):
    """A frame as it lies in the store, and the place it must belong to."""

    kind: Kind
    ref: FrameRef
    owner: bytes
    offset: int
    data: memoryview


class Opener:
    """One worker's memory for sealed, packed and odd frames. Not thread-safe."""

    def __init__(self) -> None:
        self.scratch = aligned(_SCRATCH_BYTES)
        self._packed = aligned(_FRAME_BYTES)
        self._plain = aligned(_FRAME_BYTES)
        self._decompressor = ZstdDecompressor()

    def sealed(self, length: int) -> memoryview:
        """Return memory for the sealed bytes of a frame, good until the next call."""
        return self.scratch[:length] if length <= _SCRATCH_BYTES else memoryview(bytearray(length))

    def plain(self, length: int) -> memoryview:
        """Return memory for the plain bytes of a frame, good until the next call."""
        return self._plain[:length] if length <= _FRAME_BYTES else memoryview(bytearray(length))

    def open(self, sealer: Sealer, sealed: Sealed, target: memoryview) -> None:
        """Write the plain bytes of a frame, authenticated, to ``target``, which has their length."""
        ref = sealed.ref
        if ref.flags & RAW:
            sealer.open_into(ref.source.salt, sealed.kind, _place(sealed), sealed.data, target)
            return
        with self._decompressor.stream_reader(self._unpacked(sealer, sealed)) as stream:
            count = stream.readinto(target)
        if count != ref.plain:
            raise Damaged(f"frame {ref.frame} of {ref.source.name} has {count} bytes, not {ref.plain}")

    def fresh(self, sealer: Sealer, sealed: Sealed) -> bytes:
        """Return the plain bytes of a frame, authenticated, in memory of their own."""
        ref = sealed.ref
        if ref.flags & RAW:
            return sealer.open(ref.source.salt, sealed.kind, _place(sealed), sealed.data)
        packed = self._unpacked(sealer, sealed)
        try:
            plain = self._decompressor.decompress(packed, max_output_size=ref.plain)
        except ZstdError as error:
            raise Damaged(f"compressed bytes do not decompress: {error}") from error
        if len(plain) != ref.plain:
            raise Damaged(f"frame {ref.frame} of {ref.source.name} has {len(plain)} bytes, not {ref.plain}")
        return plain

    def _unpacked(self, sealer: Sealer, sealed: Sealed) -> memoryview:
        length = sealed.ref.sealed - TAG_BYTES
        packed = self._packed[:length] if length <= _FRAME_BYTES else memoryview(bytearray(length))
        sealer.open_into(sealed.ref.source.salt, sealed.kind, _place(sealed), sealed.data, packed)
        return packed


def _place(sealed: Sealed) -> Place:
    ref = sealed.ref
    return Place(ref.frame, sealed.owner, sealed.offset, ref.plain, ref.flags)
