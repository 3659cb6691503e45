"""A log of sealed entries, extended by create-if-absent of the next number.

Whoever creates entry N+1 owns what follows; there is no other lock. A session
begins with a fence of its own, and fences are never deleted: a writer that was
fenced, however long it sleeps, finds its next number taken by somebody else's
fence and stops for good. A beginner that slept between reading the head and
writing its fence may land on a number that retention has freed meanwhile, so it
looks again, and owns the log only if its fence is the newest entry there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from blake3 import blake3

from bascule.model.errors import Damaged, Exists, Fenced, Missing, Refused, Unavailable
from bascule.ports.objects import ObjectInfo, ObjectStore

from .access import Access, Whole
from .format import names
from .format.container import Builder, Kind, Source
from .upkeep import reserve

ENTRY_BYTES = 4 << 20
_TRIES = 16


class Numbered(Protocol):
    """What every entry of a log says of itself."""

    @property
    def number(self) -> int: ...

    @property
    def session(self) -> str: ...

    @property
    def writer(self) -> str: ...

    @property
    def nonce(self) -> str: ...


E = TypeVar("E", bound=Numbered)


class Head(NamedTuple, Generic[E]):
    """An entry of a log, and the digest of its object."""

    entry: E
    digest: str


class Codec(NamedTuple, Generic[E]):
    """How entries become text and back."""

    encode: Callable[[E], bytes]
    decode: Callable[[bytes], E]


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest by which the next entry names an object."""
    return blake3(data).hexdigest()


class Log(Generic[E]):
    """A log, as anybody may read it and its owner may extend it.

    ``leave`` is how far its entries may use up the room in reserve.
    """

    def __init__(
        self, access: Access, group: str, codec: Codec[E], leave: int = reserve.WRITERS_LEAVE
    ) -> None:
        self._access = access
        self._codec = codec
        self.group = group
        self.leave = leave

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all entries in the store, newest first."""
        for info in self._access.objects.list(names.log_prefix(self.group)):
            yield names.number_of(info.name)

    def glance(self, info: ObjectInfo) -> E:
        """Read an entry that was listed, without the data that rides in it and without its digest."""
        return self._codec.decode(self._access.index(info.name, Kind.ENTRY, info.size).payload)

    def read(self, number: int) -> Head[E]:
        """Read one entry, or raise Missing."""
        whole = self.read_whole(number)
        return Head(self._codec.decode(whole.opened.payload), digest_of(whole.data))

    def read_whole(self, number: int) -> Whole:
        """Read one entry's object."""
        name = names.entry(self.group, number)
        try:
            return self._access.whole(name, Kind.ENTRY)
        except Missing as error:
            raise Missing(f"group {self.group} has no entry {number}") from error

    def head(self) -> Head[E] | None:
        """Return the newest entry, or None for a log that does not exist."""
        for _ in range(_TRIES):
            number = next(self.numbers(), None)
            if number is None:
                return None
            try:
                return self.read(number)
            except Missing:
                continue  # the log's owner replaced it since it was listed
        raise Unavailable(f"the log of group {self.group} changes too fast to read its newest entry")

    @contextmanager
    def noticing_take_over(self, newest: int) -> Iterator[None]:
        """Objects that vanish under an owner are no damage if ``newest`` is not the newest entry any more."""
        try:
            yield
        except (Missing, Damaged) as error:
            if next(self.numbers(), None) == newest:
                raise
            raise Fenced(
                f"another session took over {self.group} while this one worked", cure="begin a new session"
            ) from error

    def append(self, entry: E, builder: Builder) -> Head[E]:
        """Create ``entry`` as the next of the log, or raise Fenced if its number is taken.

        Asking again with the same entry after Unavailable is safe: an entry that
        bears our nonce is our own.
        """
        data = builder.finish(self._codec.encode(entry))
        name = names.entry(self.group, entry.number)
        try:
            reserve.create(self._access.objects, name, data, self.leave)
        except Exists as error:
            found = self.read(entry.number)
            if found.entry.nonce != entry.nonce:
                raise _fenced(self.group, entry, found.entry) from error
            return found
        return Head(entry, digest_of(data))


def _fenced(group: str, mine: Numbered, theirs: Numbered) -> Fenced:
    if theirs.session == mine.session:
        return Fenced(
            f"entry {theirs.number} of group {group}, which this session gave up, was stored after all",
            cure="begin a new session, which goes on from that entry",
        )
    return Fenced(
        f"{theirs.writer} took over group {group} at entry {theirs.number}",
        cure="this writer has stopped for good; start anew to take over in turn",
    )


@dataclass(frozen=True, slots=True)
class Beginning(Generic[E]):
    """What a new session needs to write its fence."""

    log: Log[E]
    builder: Builder
    salt: Callable[[], bytes]


def begin(beginning: Beginning[E], fence: Callable[[Head[E] | None], E], tries: int = _TRIES) -> Head[E]:
    """Append a fence after whatever is the head, and return it once it is the newest entry.

    ``fence`` makes the entry that follows the head it is given.
    """
    log, builder = beginning.log, beginning.builder
    for _ in range(tries):
        entry = fence(log.head())
        builder.begin(Kind.ENTRY, Source(names.entry(log.group, entry.number), beginning.salt()))
        try:
            mine = log.append(entry, builder)
        except Fenced:
            continue
        if next(log.numbers(), None) == entry.number:
            return mine
    raise Fenced(
        f"{tries} other writers took over group {log.group} while this one began", cure="try again later"
    )


def check_primitive(objects: ObjectStore, name: str, leave: int = reserve.WRITERS_LEAVE) -> None:
    """Refuse a store that overwrites when told to create only if absent; ``name`` is a scratch name.

    Nothing else keeps two writers apart, so every session looks before it begins.
    """
    reserve.create(objects, name, b"first", leave)
    try:
        objects.create(name, b"second")
    except Exists:
        return
    finally:
        objects.delete([name])
    raise Refused(
        "this store overwrites objects when told to create them only if absent",
        cure="two writers could destroy each other's points there; use another store",
    )
