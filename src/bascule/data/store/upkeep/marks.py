"""What is alive: every frame that some kept point shows.

A layer is shared by many points. Above it, coverage only ever grows from one
point of a group to the next, so a run of the layer is shown by some kept point of
the group exactly when the earliest kept point that has the layer shows it. Each
layer is therefore read once per group, however many points there are. A branch
shares layers with its base and covers them differently, so it asks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.extents import Extent
from bascule.data.store.access import Access, load_stack
from bascule.data.store.format.container import FrameRef
from bascule.data.store.format.entries import DiskEntry, Entry
from bascule.data.store.format.layers import UNREADABLE, LayerRef, PageCache, Pages, Stack, TolerantPages
from bascule.data.store.format.runs import Page
from bascule.data.store.format.sealing import tag_of
from bascule.model.errors import Damaged, Missing

_HOPS = 64


@dataclass(slots=True)
class Marks:
    """Live frames by object, as bits of an integer; their sealed bytes; where the last of them ends."""

    frames: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def alive(self, name: str) -> bool:
        """Tell whether anything in an object is shown by a kept point."""
        return name in self.frames

    def numbers(self, name: str) -> list[int]:
        """Return the live frames of an object."""
        bits = self.frames.get(name, 0)
        return [i for i in range(bits.bit_length()) if bits >> i & 1]


Doubt = Callable[[FrameRef, Damaged], None]


class Marker:
    """Marks points one by one: group after group, each in ascending order of its numbers.

    A map that cannot be read ends the marking with Damaged, for what it shows would seem
    dead; with ``doubt`` it is told, and the marking goes on with the rest.
    """

    def __init__(self, access: Access, present: Iterable[str], doubt: Doubt | None = None) -> None:
        self._access = access
        self._doubt = doubt
        self._present = set(present)
        self._absent: set[str] = set()
        self._seen: set[tuple[bytes, int]] = set()
        self._group = ""
        self.marks = Marks()

    def point(self, entry: Entry) -> None:
        """Mark all that a point shows."""
        if entry.group != self._group:
            self._group, self._seen = entry.group, set()
        for machine in entry.machines:
            for disk in machine.disks:
                self._disk(machine.id, disk)

    def _disk(self, machine: str, disk: DiskEntry) -> None:
        stack = self._stack(machine, disk)
        if stack is None:
            return
        if disk.inline is not None:
            self._mark(disk.inline)
        self._page(stack.inline, None)
        fresh = [i for i, layer in enumerate(stack.layers) if _key(layer.index) not in self._seen]
        if fresh:
            self._layers(self._pages(tag_of(machine, disk.id)), stack, fresh)

    def _layers(self, pages: Pages, stack: Stack, fresh: list[int]) -> None:
        """Mark the layers that no earlier point has, by what those above them leave to be seen."""
        cover = Bitmap(max(layer.end for layer in stack.layers), 1)
        _add(cover, stack.inline)
        for i, layer in enumerate(stack.layers[: fresh[-1] + 1]):
            if i in fresh:
                self._seen.add(_key(layer.index))
                self._layer(pages, layer, cover)
            if i < fresh[-1]:
                for page in pages.pages(layer):
                    _add(cover, pages.page(page))

    def _stack(self, machine: str, disk: DiskEntry) -> Stack | None:
        try:
            return load_stack(self._access, machine, disk)
        except Damaged as error:
            if self._doubt is None or disk.inline is None:
                raise
            self._doubt(disk.inline, error)
            return None

    def _pages(self, tag: bytes) -> Pages:
        cache = PageCache(lambda frame, first: self._access.frame(frame, tag, first))
        return cache if self._doubt is None else TolerantPages(cache, self._doubt)

    def _layer(self, pages: Pages, layer: LayerRef, cover: Bitmap) -> None:
        self._mark(layer.index)
        for page in pages.pages(layer):
            self._mark(page.frame)
            self._page(pages.page(page), cover)

    def _page(self, page: Page, cover: Bitmap | None) -> None:
        """Mark the frames of a page's runs that ``cover`` does not hide, without unpacking run by run."""
        shown: dict[int, dict[int, int]] = {}
        columns = zip(page.blocks, page.spans, page.sources, page.frames, strict=True)
        for i, (block, span, source, number) in enumerate(columns):
            if source and (cover is None or not cover.covers(Extent(block, span))):
                shown.setdefault(source, {})[number] = i
        for source, numbers in shown.items():
            name = page.names[source - 1].name
            if name in self._present:
                for number, i in numbers.items():
                    self._note(name, number, page.at[i], page.sealed[i])
            else:
                for i in numbers.values():
                    self._mark(page[i].frame)

    def _mark(self, frame: FrameRef | None) -> None:
        if frame is None or frame == UNREADABLE:
            return
        try:
            now = self._find(frame)
        except Damaged as error:
            if self._doubt is None:
                raise
            self._doubt(frame, error)
            return
        name = now.source.name
        if self._is_there(name):
            self._note(name, now.frame, now.at, now.sealed)
        else:
            self.marks.lost.add(name)

    def _note(self, name: str, number: int, at: int, sealed: int) -> None:
        bits, bit = self.marks.frames.get(name, 0), 1 << number
        if not bits & bit:
            self.marks.frames[name] = bits | bit
            self.marks.bytes[name] = self.marks.bytes.get(name, 0) + sealed
            self.marks.ends[name] = max(self.marks.ends.get(name, 0), at + sealed)

    def _find(self, frame: FrameRef) -> FrameRef:
        """Return where a frame lies now; in an object that is not there if it is lost."""
        for _ in range(_HOPS):
            name = frame.source.name
            if self._is_there(name):
                break
            try:
                now = self._access.locate(frame, hops=1)
            except Missing:
                break
            if now is frame:
                break
            self.marks.moved.add(name)
            frame = now
        return frame

    def _is_there(self, name: str) -> bool:
        """Tell whether an object exists; a writer may have stored it since the listing."""
        if name not in self._present and name not in self._absent:
            try:
                self._access.objects.stat(name)
                self._present.add(name)
            except Missing:
                self._absent.add(name)
        return name in self._present


def _add(cover: Bitmap, page: Page) -> None:
    """Hide the blocks of a page's runs, but for an unreadable page: better marked than missed."""
    hidden = {i + 1 for i, source in enumerate(page.names) if source == UNREADABLE.source}
    for block, span, source in zip(page.blocks, page.spans, page.sources, strict=True):
        if source not in hidden:
            cover.mark(Extent(block, span))


def _key(frame: FrameRef) -> tuple[bytes, int]:
    return frame.source.salt, frame.frame
