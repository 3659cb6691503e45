"""Runs: which stored frame holds which blocks of a disk.

A run is a stretch of blocks that lie side by side in one frame, or a hole. Run
lists are in block order without overlap; a newer list is laid over an older one.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from bascule.model.errors import Damaged

from .container import FrameRef, Source

BLOCK = 65536
LONGEST_HOLE = 0xFFFF


class Run(NamedTuple):
    """``span`` blocks from ``block`` on; they start ``skip`` blocks into the frame. No frame: a hole."""

    block: int
    span: int
    skip: int
    frame: FrameRef | None

    @property
    def end(self) -> int:
        return self.block + self.span

    @property
    def frame_offset(self) -> int:
        """Return the disk offset at which the frame begins."""
        return (self.block - self.skip) * BLOCK

    def clip(self, first: int, end: int) -> Run:
        """Return the part of the run inside the blocks ``first`` up to ``end``."""
        if first <= self.block and self.block + self.span <= end:
            return self
        low, high = max(first, self.block), min(end, self.end)
        if high - low == self.span:
            return self
        return self._replace(block=low, span=high - low, skip=self.skip + low - self.block)


def hole(first: int, end: int) -> Iterator[Run]:
    """Yield hole runs over the blocks ``first`` up to ``end``."""
    while first < end:
        span = min(LONGEST_HOLE, end - first)
        yield Run(first, span, 0, None)
        first += span


def overlay(older: Iterable[Run], newer: Sequence[Run]) -> list[Run]:
    """Lay ``newer`` over ``older``: what newer covers wins, block by block."""
    result: list[Run] = []
    at = 0
    for run in older:
        rest: Run | None = run
        while rest is not None:
            while at < len(newer) and newer[at].end <= rest.block:
                result.append(newer[at])
                at += 1
            rest = _before(rest, newer[at] if at < len(newer) else None, result)
    result.extend(newer[at:])
    return result


def _before(run: Run, upper: Run | None, result: list[Run]) -> Run | None:
    """Emit what of ``run`` lies before ``upper``; return what may lie behind it."""
    if upper is None or upper.block >= run.end:
        result.append(run)
        return None
    if upper.block > run.block:
        result.append(run.clip(run.block, upper.block))
    return run.clip(upper.end, run.end) if upper.end < run.end else None


def differing(older: Iterable[Run], newer: Iterable[Run]) -> Iterator[tuple[int, int]]:
    """Yield blocks, from and up to, that ``newer`` does not have out of the same place of the same frame.

    Behind the end of ``older`` everything differs.
    """
    before = iter(older)
    old: Run | None = next(before, None)
    for new in newer:
        at = new.block
        while at < new.end:
            while old is not None and old.end <= at:
                old = next(before, None)
            end = new.end if old is None else min(old.end, new.end)
            if old is None or not _is_same(old.clip(at, end), new.clip(at, end)):
                yield at, end
            at = end


def _is_same(old: Run, new: Run) -> bool:
    if old.frame is None or new.frame is None:
        return old.frame is new.frame
    return (old.frame, old.skip) == (new.frame, new.skip)


def _line(run: Run, known: dict[Source, int]) -> tuple[int, ...]:
    """Return a run's line of a page's columns; sources count from one, for 0 stands for a hole."""
    block, span, skip, frame = run
    if frame is None:
        return block, span, skip, 0, 0, 0, 0, 0, 0
    source, number, at, sealed, plain, flags = frame
    return block, span, skip, known.setdefault(source, len(known) + 1), number, at, sealed, plain, flags


class Page:
    """A run list packed in columns; about 30 bytes a run in memory, searched by bisection."""

    __slots__ = ("at", "blocks", "flags", "frames", "names", "plain", "sealed", "skips", "sources", "spans")

    _COLUMNS = (
        ("blocks", "I"),
        ("spans", "H"),
        ("skips", "H"),
        ("sources", "I"),
        ("frames", "I"),
        ("at", "I"),
        ("sealed", "I"),
        ("plain", "I"),
        ("flags", "B"),
    )

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        known: dict[Source, int] = {}
        lines = [_line(run, known) for run in runs]
        columns = zip(*lines, strict=True) if lines else repeat(())
        for (column, code), values in zip(self._COLUMNS, columns, strict=False):
            setattr(self, column, array(code, values))
        self.names = list(known)

    blocks: array[int]
    spans: array[int]
    skips: array[int]
    sources: array[int]
    frames: array[int]
    at: array[int]
    sealed: array[int]
    plain: array[int]
    flags: array[int]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, i: int) -> Run:
        source = self.sources[i]
        frame = (
            FrameRef(
                self.names[source - 1],
                self.frames[i],
                self.at[i],
                self.sealed[i],
                self.plain[i],
                self.flags[i],
            )
            if source
            else None
        )
        return Run(self.blocks[i], self.spans[i], self.skips[i], frame)

    def __iter__(self) -> Iterator[Run]:
        return map(self.__getitem__, range(len(self)))

    def within(self, first: int, end: int) -> Iterator[Run]:
        """Yield the runs, clipped, that touch the blocks ``first`` up to ``end``."""
        if first >= end:
            return
        i = max(bisect_right(self.blocks, first) - 1, 0)
        while i < len(self.blocks) and self.blocks[i] < end:
            if self.blocks[i] + self.spans[i] > first:
                yield self[i].clip(first, end)
            i += 1

    def pack(self) -> bytes:
        """Return the page as bytes."""
        parts = [struct.pack("<II", len(self.names), len(self))]
        parts.extend(pack_source(source) for source in self.names)
        parts.extend(_little(getattr(self, column)).tobytes() for column, _ in self._COLUMNS)
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: bytes) -> Page:
        """Read a page back, or raise Damaged: bytes out of a seal can still be those of something else."""
        page = cls()
        try:
            names, runs = struct.unpack_from("<II", data)
            page.names, at = unpack_sources(data, names, 8)
            page._take_columns(data, at, runs)
        except (struct.error, ValueError, IndexError) as error:
            raise Damaged(f"a page of a disk's map cannot be read: {error}") from error
        return page

    def _take_columns(self, data: bytes, at: int, runs: int) -> None:
        for column, code in self._COLUMNS:
            values = array(code)
            end = at + runs * values.itemsize
            values.frombytes(data[at:end])
            setattr(self, column, _little(values))
            at = end
        if at != len(data):
            raise ValueError("it has the wrong length")
        if max(self.sources, default=0) > len(self.names):
            raise ValueError("it names a source that it does not list")


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values


def pack_source(source: Source) -> bytes:
    """Return a source as bytes."""
    name = source.name.encode()
    return bytes([len(name)]) + name + source.salt


def unpack_sources(data: bytes, count: int, at: int) -> tuple[list[Source], int]:
    """Read ``count`` sources and return where they end."""
    found = []
    for _ in range(count):
        length = data[at]
        name = data[at + 1 : at + 1 + length].decode()
        at += 1 + length + 32
        if at > len(data):
            raise ValueError("a list of sources ends early")
        found.append(Source(name, data[at - 32 : at]))
    return found, at
