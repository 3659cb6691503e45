"""Move live frames out of mostly dead objects, so that their space comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bascule.data.store.access import Access, kind_of
from bascule.data.store.format import names
from bascule.data.store.format.container import Builder, FrameRef, IndexedFrame, Kind, Source, open_packed
from bascule.data.store.format.runs import Page, Run
from bascule.data.store.lane import Uploads
from bascule.model.errors import Damaged, Missing

from .marks import Marks


@dataclass(slots=True)
class Moves:
    """What a batch moved: for each object, where its live frames lie now."""

    tables: dict[str, Page] = field(default_factory=dict)
    bytes_moved: int = 0
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did. ``damaged`` objects could not be read and were left as they are."""

    objects: int = 0
    bytes_moved: int = 0
    damaged: tuple[str, ...] = ()

    def plus(self, moves: Moves) -> CompactReport:
        """Return the report with a batch added."""
        return CompactReport(
            self.objects + len(moves.tables),
            self.bytes_moved + moves.bytes_moved,
            self.damaged + tuple(moves.damaged),
        )


class Compactor:
    """Writes segments of one upkeep session."""

    def __init__(self, access: Access, uploads: Uploads, session: str, salt: Callable[[], bytes]) -> None:
        self._access = access
        self._uploads = uploads
        self._session = session
        self._salt = salt
        self._sequence = 0
        self._builder: Builder | None = None

    def move(self, victims: list[str], marks: Marks) -> Moves:
        """Store the live frames of ``victims`` anew; when this returns they are durable."""
        self._forget()
        moves = Moves()
        for name in victims:
            try:
                moves.tables[name] = self._one(name, marks.numbers(name), moves)
            except (Damaged, Missing):
                moves.damaged.append(name)
        if self._builder is not None:
            self._uploads.send(self._builder)
            self._builder = None
        self._uploads.drain()
        return moves

    def _forget(self) -> None:
        """Let go of a batch that failed: its move was never published, so nothing depends on what it lost."""
        builder, self._builder = self._builder, None
        if builder is not None:
            self._uploads.give_back(builder)
        self._uploads.forgive()

    def _one(self, name: str, live: list[int], moves: Moves) -> Page:
        kind = kind_of(Source(name, b""))
        opened = self._access.index(name, kind)
        source = Source(name, opened.salt)
        runs = []
        for number in live:
            line = opened.frames[number]
            packed = self._open(source, number, line)
            runs.append(Run(number, 1, 0, self._room(line).reseal(line, packed)))
            moves.bytes_moved += line.sealed
        return Page(runs)

    def _open(self, source: Source, number: int, line: IndexedFrame) -> bytes:
        ref = FrameRef(source, number, line.at, line.sealed, line.plain, line.flags)
        sealed = self._access.bytes_of(source.name, line.at, line.sealed)
        return open_packed(self._access.sealer, kind_of(source), ref, (line.owner, line.offset), sealed)

    def _room(self, line: IndexedFrame) -> Builder:
        if self._builder is not None and not self._builder.has_room(line.sealed):
            self._uploads.send(self._builder)
            self._builder = None
        if self._builder is None:
            self._builder = self._uploads.take()
            name = names.segment(names.UPKEEP_GROUP, self._session, self._sequence)
            self._sequence += 1
            self._builder.begin(Kind.SEGMENT, Source(name, self._salt()))
        return self._builder

    def close(self) -> None:
        """End the upload threads."""
        self._uploads.close()
