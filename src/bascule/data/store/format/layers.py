"""Layers: the map of a disk as a short stack of sorted run lists.

The newest layer lies in the log entry itself. When it outgrows that, it becomes
a layer of its own in a segment (stacker.py), so a disk has a handful of layers
however many points it has. A layer is cut in pages, read when first touched.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bascule.model.errors import Damaged

from .container import FrameRef, Source
from .runs import Page, Run, hole, pack_source, unpack_sources

_LINE = struct.Struct("<IIIIIIIIB")
_SOURCES_SHARED = 1 << 15


@dataclass(frozen=True, slots=True)
class Shape:
    """When the newest runs leave the entry, how long a page is, how many runs wait in memory."""

    inline_runs: int = 800
    page_runs: int = 2048
    spill_runs: int = 32768


class PageRef(NamedTuple):
    """One page of a layer: the blocks it spans, its runs, and where it is sealed."""

    first: int
    end: int
    runs: int
    frame: FrameRef


@dataclass(frozen=True, slots=True)
class LayerRef:
    """A layer as an entry names it; ``index`` is the frame that lists its pages."""

    runs: int
    first: int
    end: int
    index: FrameRef


@dataclass(frozen=True, slots=True)
class Stack:
    """A disk's map at one point: runs held in the entry itself, then layers, newest first."""

    inline: Page = field(default_factory=Page)
    layers: tuple[LayerRef, ...] = ()


Load = Callable[[FrameRef, int], bytes]
"""Fetch and open a map frame; the second argument is the first block it speaks of."""


def pack_index(pages: list[PageRef]) -> bytes:
    """Return the list of a layer's pages as bytes."""
    known: dict[Source, int] = {}
    lines = [
        _LINE.pack(p.first, p.end, p.runs, known.setdefault(p.frame.source, len(known)), *p.frame[1:])
        for p in pages
    ]
    head = struct.pack("<II", len(known), len(pages))
    return head + b"".join(map(pack_source, known)) + b"".join(lines)


def unpack_index(data: bytes) -> list[PageRef]:
    """Read the list of a layer's pages back, or raise Damaged."""
    try:
        names, pages = struct.unpack_from("<II", data)
        sources, at = unpack_sources(data, names, 8)
        found = [
            PageRef(first, end, runs, FrameRef(sources[source], *frame))
            for first, end, runs, source, *frame in _LINE.iter_unpack(data[at:])
        ]
    except (struct.error, ValueError, IndexError) as error:
        raise Damaged(f"the page list of a layer cannot be read: {error}") from error
    if len(found) != pages:
        raise Damaged(f"the page list of a layer has {len(found)} pages, not {pages}")
    return found


class PageCache:
    """Decoded pages and page lists, least recently used thrown out first. Thread-safe."""

    def __init__(self, load: Load, pages: int = 256) -> None:
        self._load = load
        self._room = pages
        self._held: OrderedDict[tuple[bytes, int], Page | list[PageRef]] = OrderedDict()
        self._sources: dict[Source, Source] = {}
        self._guard = threading.Lock()

    def page(self, ref: PageRef) -> Page:
        """Return a page."""
        found = self._get(ref.frame)
        if not isinstance(found, Page):
            found = Page.unpack(self._load(ref.frame, ref.first))
            self._share(found)
            self._put(ref.frame, found)
        return found

    def _share(self, page: Page) -> None:
        """Let pages that name the same objects hold the same names."""
        with self._guard:
            if len(self._sources) > _SOURCES_SHARED:
                self._sources.clear()
            page.names = [self._sources.setdefault(source, source) for source in page.names]

    def pages(self, layer: LayerRef) -> list[PageRef]:
        """Return the page list of a layer."""
        found = self._get(layer.index)
        if not isinstance(found, list):
            found = unpack_index(self._load(layer.index, layer.first))
            self._put(layer.index, found)
        return found

    def _get(self, frame: FrameRef) -> Page | list[PageRef] | None:
        key = (frame.source.salt, frame.frame)
        with self._guard:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def _put(self, frame: FrameRef, value: Page | list[PageRef]) -> None:
        with self._guard:
            self._held[(frame.source.salt, frame.frame)] = value
            while len(self._held) > self._room:
                self._held.popitem(last=False)


class Pages(Protocol):
    """Where the pages of layers come from."""

    def page(self, ref: PageRef) -> Page: ...

    def pages(self, layer: LayerRef) -> list[PageRef]: ...


UNREADABLE = FrameRef(Source("", b""), 0, 0, 0, 0, 0)
"""Stands for whatever a map names where the map itself cannot be read."""


class TolerantPages:
    """Pages of which those that are damaged are told, and show unreadable frames instead."""

    def __init__(self, cache: PageCache, tell: Callable[[FrameRef, Damaged], None]) -> None:
        self._cache = cache
        self._tell = tell

    def page(self, ref: PageRef) -> Page:
        """Return a page, or one without anything that can be read."""
        if ref.frame != UNREADABLE:
            try:
                return self._cache.page(ref)
            except Damaged as error:
                self._tell(ref.frame, error)
        return Page(run._replace(frame=UNREADABLE) for run in hole(ref.first, ref.end))

    def pages(self, layer: LayerRef) -> list[PageRef]:
        """Return the page list of a layer, or a single page that cannot be read."""
        try:
            return self._cache.pages(layer)
        except Damaged as error:
            self._tell(layer.index, error)
            return [PageRef(layer.first, layer.end, 1, UNREADABLE)]


def within(cache: Pages, layer: LayerRef, first: int, end: int) -> Iterator[Run]:
    """Yield the runs of one layer, clipped, that touch the blocks ``first`` up to ``end``."""
    if first >= end or first >= layer.end or end <= layer.first:
        return
    pages = cache.pages(layer)
    i = max(bisect_right(pages, first, key=lambda page: page.first) - 1, 0)
    while i < len(pages) and pages[i].first < end:
        if pages[i].end > first:
            yield from cache.page(pages[i]).within(first, end)
        i += 1


def visible(cache: Pages, stack: Stack, first: int, end: int) -> list[Run]:
    """Return what the blocks ``first`` up to ``end`` hold, every block once; unmapped blocks are holes."""
    found: list[Run] = list(stack.inline.within(first, end))
    for layer in stack.layers:
        gaps = list(_gaps(found, first, end))
        if not gaps:
            break
        below = [run for low, high in gaps for run in within(cache, layer, low, high)]
        if below:
            found = sorted(found + below, key=lambda run: run.block)
    holes = [run for low, high in _gaps(found, first, end) for run in hole(low, high)]
    return sorted(found + holes, key=lambda run: run.block) if holes else found


def _gaps(runs: Iterable[Run], first: int, end: int) -> Iterator[tuple[int, int]]:
    for run in runs:
        if run.block > first:
            yield first, run.block
        first = run.end
    if first < end:
        yield first, end
