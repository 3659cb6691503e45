"""Reading sealed objects, wherever their frames have moved to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from bascule.model.errors import Damaged, Missing
from bascule.ports.objects import ObjectStore

from .format import names
from .format.container import FrameRef, Kind, Opened, Source, open_container, open_frame
from .format.entries import DiskEntry
from .format.layers import Stack
from .format.runs import Page
from .format.sealing import MAP, Sealer, tag_of

# Places of moved frames that are kept, in all tables together: about 15 MiB.
_MOVED_FRAMES = 50_000
_HOPS = 64
# Far above any entry, part or table; an object that somebody blew up must not fill the memory.
_WHOLE_MAX = 64 << 20
# Footer, index and payload of most objects lie in their last bytes, and one read fetches them all.
_TAIL_BYTES = 64 << 10


class Whole(NamedTuple):
    """A small object read at once."""

    data: memoryview
    opened: Opened


class Access:
    """Objects and seals together: the only way anything in a store is read. Thread-safe."""

    def __init__(self, objects: ObjectStore, sealer: Sealer) -> None:
        self.objects = objects
        self.sealer = sealer
        self._moved: OrderedDict[str, dict[int, FrameRef]] = OrderedDict()
        self._moved_frames = 0
        self._guard = threading.Lock()

    def bytes_of(self, name: str, offset: int, length: int) -> memoryview:
        """Return exactly ``length`` bytes of an object."""
        buffer = memoryview(bytearray(length))
        if self.objects.read(name, offset, buffer) != length:
            raise Damaged(f"object {name} is cut short: it ends before byte {offset + length}")
        return buffer

    def whole(self, name: str, expected: Kind) -> Whole:
        """Read, authenticate and keep a small object."""
        size = self.objects.stat(name).size
        if size > _WHOLE_MAX:
            raise Damaged(f"object {name} has {size} bytes, more than any object of its kind")
        data = self.bytes_of(name, 0, size)
        opened = open_container(
            lambda offset, length: data[offset : offset + length], size, self.sealer, name, expected
        )
        return Whole(data, opened)

    def index(self, name: str, expected: Kind, size: int | None = None) -> Opened:
        """Read an object's index and payload, not its frames."""
        if size is None:
            size = self.objects.stat(name).size
        start = max(size - _TAIL_BYTES, 0)
        tail = self.bytes_of(name, start, size - start)

        def read(offset: int, length: int) -> memoryview:
            if offset < start:
                return self.bytes_of(name, offset, length)
            return tail[offset - start : offset - start + length]

        return open_container(read, size, self.sealer, name, expected)

    def locate(self, frame: FrameRef, hops: int = _HOPS) -> FrameRef:
        """Return where a frame lies now, following ``hops`` moves at most; Missing if it was dropped."""
        for _ in range(hops):
            table = self._table(frame.source.name)
            if table is None:
                return frame
            if frame.frame not in table:
                raise Missing(f"frame {frame.frame} of {frame.source.name} was dropped: no point showed it")
            frame = table[frame.frame]
        return frame

    def _table(self, name: str) -> dict[int, FrameRef] | None:
        with self._guard:
            found = self._moved.get(name)
        if found is None:
            found = self.moved_table(name)
            if found is not None:
                self._keep(name, found)
        return found

    def _keep(self, name: str, table: dict[int, FrameRef]) -> None:
        with self._guard:
            if name not in self._moved:
                self._moved[name] = table
                self._moved_frames += len(table)
            while self._moved_frames > _MOVED_FRAMES and len(self._moved) > 1:
                self._moved_frames -= len(self._moved.popitem(last=False)[1])

    def moved_table(self, name: str) -> dict[int, FrameRef] | None:
        """Return where the frames of ``name`` went, or None if it was never compacted."""
        try:
            whole = self.whole(names.moved(name), Kind.MOVED)
        except Missing:
            return None
        return {run.block: run.frame for run in Page.unpack(whole.opened.payload) if run.frame is not None}

    def sealed(self, frame: FrameRef) -> tuple[FrameRef, memoryview]:
        """Return where a frame lies now, and its sealed bytes."""
        if frame.source.name in self._moved:
            frame = self.locate(frame)
        for _ in range(_HOPS):
            try:
                return frame, self.bytes_of(frame.source.name, frame.at, frame.sealed)
            except Missing:
                now = self.locate(frame)
                if now.source == frame.source:
                    raise
                frame = now
        raise Missing(f"frame {frame.frame} of {frame.source.name} moved too often")

    def frame(self, frame: FrameRef, owner: bytes, offset: int) -> bytes:
        """Return the plain bytes of a frame of data or of a map."""
        try:
            now, sealed = self.sealed(frame)
            return open_frame(self.sealer, kind_of(now.source), now, (owner, offset), sealed)
        except (Missing, Damaged) as error:
            what = "map" if frame.flags & MAP else "data"
            raise Damaged(f"{what} frame {frame.frame} of {frame.source.name}: {error}") from error


def kind_of(source: Source) -> Kind:
    """Return what kind of object a name belongs to."""
    if source.name.startswith(names.SEGMENTS):
        return Kind.SEGMENT
    if source.name.startswith(names.PARTS):
        return Kind.PART
    return Kind.ENTRY


def load_stack(access: Access, machine: str, disk: DiskEntry) -> Stack:
    """Read a disk's map as an entry names it; layers stay unread until they are asked for."""
    if disk.inline is None:
        return Stack(Page(), disk.layers)
    return Stack(Page.unpack(access.frame(disk.inline, tag_of(machine, disk.id), 0)), disk.layers)
