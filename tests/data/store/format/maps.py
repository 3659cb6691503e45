"""Run lists for hypothesis, and what they mean: a dictionary from block to place, or to None for a hole."""

from __future__ import annotations

from collections.abc import Iterable
from os import SEEK_END
from tempfile import SpooledTemporaryFile

from hypothesis import strategies as st

from bascule.data.store.format.container import FrameRef, Source
from bascule.data.store.format.layers import PageCache, Shape, Stack
from bascule.data.store.format.runs import Run
from bascule.data.store.format.stacker import Stacker

Map = dict[int, tuple[FrameRef, int] | None]

SOURCES = tuple(Source(f"segments/g/s/{i:08d}", bytes([i]) * 32) for i in range(4))
_u32 = st.integers(0, 2**32 - 1)

frames = st.builds(
    FrameRef, st.sampled_from(SOURCES), _u32, _u32, st.integers(17, 2**32 - 1), _u32, st.integers(0, 255)
)
"""Frames as a page can hold them."""


@st.composite
def run_lists(draw: st.DrawFn, most: int = 12, gap: int = 6, longest: int = 9) -> list[Run]:
    """Runs in block order without overlap."""
    found, at = [], 0
    for _ in range(draw(st.integers(0, most))):
        at += draw(st.integers(0, gap))
        span = draw(st.integers(1, longest))
        frame = draw(st.none() | frames)
        skip = 0 if frame is None else draw(st.integers(0, 3))
        found.append(Run(at, span, skip, frame))
        at += span
    return found


def meaning(runs: Iterable[Run]) -> Map:
    """What a run list says of each block; a block named twice is an error."""
    found: Map = {}
    for run in runs:
        for block in range(run.block, run.end):
            assert block not in found, f"block {block} is named twice"
            place = None if run.frame is None else (run.frame, run.skip + block - run.block)
            found[block] = place
    return found


def is_ordered(runs: Iterable[Run]) -> bool:
    """Runs lie in block order and do not overlap."""
    end = 0
    for run in runs:
        if run.block < end or run.span <= 0:
            return False
        end = run.end
    return True


class Shelf:
    """Map frames outside of memory, as a stacker writes and a cache reads them; counts what goes by."""

    def __init__(self, shape: Shape, pages: int = 256) -> None:
        self._file = SpooledTemporaryFile(1 << 20)  # noqa: SIM115 - it lives as long as the shelf
        self._places: list[tuple[int, int]] = []
        self.written = self.read = self.reads = 0
        self.cache = PageCache(self._load, pages)
        self.stacker = Stacker(self.cache, self._write, shape)

    def forget(self) -> None:
        """Start reading with empty caches, and counting from zero."""
        self.cache = PageCache(self._load)
        self.read = self.reads = 0

    def _write(self, data: bytes, first: int, flags: int) -> FrameRef:
        self._places.append((self._file.seek(0, SEEK_END), len(data)))
        self._file.write(data)
        self.written += len(data)
        source = Source("segments/g/map/0", bytes(32))
        return FrameRef(source, len(self._places) - 1, first, 0, len(data), flags)

    def _load(self, frame: FrameRef, first: int) -> bytes:
        assert frame.at == first, "a frame is asked for with the block it was written for"
        at, length = self._places[frame.frame]
        self._file.seek(at)
        self.reads += 1
        self.read += length
        return self._file.read(length)


def layers_of(stack: Stack) -> list[int]:
    """How many runs each layer has, newest first."""
    return [layer.runs for layer in stack.layers]
