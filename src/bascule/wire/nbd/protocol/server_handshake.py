"""The server's side of the handshake.

A client that lies about lengths or asks without end makes the dialogue raise
Damaged, and the shell closes that one connection. A client that asks for what it
may not have gets an error reply and may ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bascule.model.errors import BasculeError, Damaged, Missing, Unavailable

from .constants import (
    EXPORT_NAME_REPLY,
    FIXED_NEWSTYLE,
    HELLO,
    HELLO_MAGIC,
    INFO_BLOCK_SIZE,
    NO_ZEROES,
    OPTION,
    OPTION_MAGIC,
    OPTION_MAX,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    OPTIONS_MAX,
    SEND_DF,
    U32,
    Option,
    Rep,
)
from .dialogue import Receive, Send, StartTls, Steps
from .options import (
    ANY_BLOCK,
    BlockSizes,
    pack_block_info,
    pack_export_info,
    pack_string,
    text,
    unpack_go,
    unpack_meta,
)


class TlsMode(Enum):
    """Whether clients cannot, may or must encrypt."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Offer:
    """What an export has to offer; ``flags`` without SEND_DF, which follows from structured replies."""

    size_bytes: int
    flags: int
    sizes: BlockSizes = ANY_BLOCK
    contexts: tuple[str, ...] = ()


class Catalog(Protocol):
    """The exports of a server. Missing, or any other BasculeError, becomes an error reply."""

    def names(self) -> Iterable[str]:
        """Return the names a client may be told."""

    def offer(self, name: str) -> Offer:
        """Describe one export."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The client chose an export, and the transmission phase begins."""

    export: str
    offer: Offer
    structured: bool
    contexts: tuple[tuple[int, str], ...]


class _Goodbye(Exception):
    """The client ended the handshake as it should."""


class ServerHandshake:
    """One client's handshake; ``steps`` returns its choice, or None when it says goodbye."""

    def __init__(self, catalog: Catalog, tls: TlsMode) -> None:
        self._catalog = catalog
        self._tls = tls
        self._secure = False
        self._zeroes = True
        self._structured = False
        self._contexts: tuple[tuple[int, str], ...] = ()
        self._contexts_of = ""
        self._handlers: Mapping[int, Callable[[bytes], Steps[Entry | None]]] = {
            Option.EXPORT_NAME: self._export_name,
            Option.ABORT: self._abort,
            Option.LIST: self._list,
            Option.STARTTLS: self._start_tls,
            Option.INFO: self._info,
            Option.GO: self._go,
            Option.STRUCTURED_REPLY: self._structured_reply,
            Option.LIST_META_CONTEXT: self._list_contexts,
            Option.SET_META_CONTEXT: self._set_contexts,
        }

    def steps(self) -> Steps[Entry | None]:
        """Answer options until an export is chosen."""
        yield Send(HELLO.pack(HELLO_MAGIC, OPTION_MAGIC, FIXED_NEWSTYLE | NO_ZEROES))
        flags = U32.unpack((yield Receive(4)))[0]
        if flags & ~(FIXED_NEWSTYLE | NO_ZEROES):
            raise Damaged(f"An NBD client set unknown handshake flags {flags:#x}")
        self._zeroes = not flags & NO_ZEROES
        for _ in range(OPTIONS_MAX):
            try:
                entry = yield from self._one_option()
            except _Goodbye:
                return None
            if entry is not None:
                return entry
        raise Damaged(f"An NBD client sent {OPTIONS_MAX} options without choosing an export")

    def _one_option(self) -> Steps[Entry | None]:
        magic, option, length = OPTION.unpack((yield Receive(OPTION.size)))
        if magic != OPTION_MAGIC:
            raise Damaged(f"An NBD option begins with {magic:#x}")
        if length > OPTION_MAX:
            raise Damaged(f"NBD option {option} announces {length} bytes; at most {OPTION_MAX} are read")
        data = yield Receive(length)
        handler = self._handlers.get(option)
        if self._tls is TlsMode.REQUIRED and not self._secure:
            if option == Option.EXPORT_NAME:
                raise Damaged("An NBD client chose an export without TLS")
            if option not in (Option.ABORT, Option.STARTTLS):
                return (yield from _reply(option, Rep.ERR_TLS_REQD, b"this server speaks TLS only"))
        if handler is None:
            return (yield from _reply(option, Rep.ERR_UNSUP))
        return (yield from self._handle(handler, option, data))

    def _handle(
        self, handler: Callable[[bytes], Steps[Entry | None]], option: int, data: bytes
    ) -> Steps[Entry | None]:
        try:
            return (yield from handler(data))
        except BasculeError as error:
            if option == Option.EXPORT_NAME:
                raise  # This option has no error reply: the connection ends.
            return (yield from _reply(option, _rep_for(error), error.message.encode()[:1024]))

    def _export_name(self, data: bytes) -> Steps[Entry | None]:
        name = text(data)
        offer = self._catalog.offer(name)
        padding = bytes(124) if self._zeroes else b""
        yield Send(EXPORT_NAME_REPLY.pack(offer.size_bytes, self._flags(offer)) + padding)
        return self._enter(name, offer)

    def _abort(self, _: bytes) -> Steps[Entry | None]:
        yield from _reply(Option.ABORT, Rep.ACK)
        raise _Goodbye

    def _list(self, data: bytes) -> Steps[Entry | None]:
        _expect_nothing(data)
        for name in self._catalog.names():
            yield from _reply(Option.LIST, Rep.SERVER, pack_string(name))
        return (yield from _reply(Option.LIST, Rep.ACK))

    def _start_tls(self, data: bytes) -> Steps[Entry | None]:
        _expect_nothing(data)
        if self._tls is TlsMode.OFF:
            return (yield from _reply(Option.STARTTLS, Rep.ERR_POLICY, b"this server has no certificates"))
        if self._secure:
            return (yield from _reply(Option.STARTTLS, Rep.ERR_INVALID, b"TLS is on already"))
        yield from _reply(Option.STARTTLS, Rep.ACK)
        yield StartTls()
        # Whatever was said in the clear may have been said by somebody else.
        self._secure, self._structured, self._contexts = True, False, ()
        return None

    def _info(self, data: bytes) -> Steps[Entry | None]:
        yield from self._describe(Option.INFO, data)
        return None

    def _go(self, data: bytes) -> Steps[Entry | None]:
        return (yield from self._describe(Option.GO, data))

    def _describe(self, option: Option, data: bytes) -> Steps[Entry | None]:
        name, wanted = unpack_go(data)
        offer = self._catalog.offer(name)
        yield from _reply(option, Rep.INFO, pack_export_info(offer.size_bytes, self._flags(offer)))
        if INFO_BLOCK_SIZE in wanted or offer.sizes.minimum > 1:
            yield from _reply(option, Rep.INFO, pack_block_info(offer.sizes))
        if INFO_BLOCK_SIZE not in wanted and offer.sizes.minimum > 1 and option == Option.GO:
            return (yield from _reply(option, Rep.ERR_BLOCK_SIZE_REQD))
        yield from _reply(option, Rep.ACK)
        return self._enter(name, offer)

    def _structured_reply(self, data: bytes) -> Steps[Entry | None]:
        _expect_nothing(data)
        self._structured = True
        return (yield from _reply(Option.STRUCTURED_REPLY, Rep.ACK))

    def _list_contexts(self, data: bytes) -> Steps[Entry | None]:
        name, queries = unpack_meta(data)
        for context in self._catalog.offer(name).contexts:
            if not queries or any(_matches(query, context) for query in queries):
                yield from _reply(Option.LIST_META_CONTEXT, Rep.META_CONTEXT, U32.pack(0) + context.encode())
        return (yield from _reply(Option.LIST_META_CONTEXT, Rep.ACK))

    def _set_contexts(self, data: bytes) -> Steps[Entry | None]:
        self._contexts = ()
        name, queries = unpack_meta(data)
        if not self._structured:
            raise Damaged("Meta contexts need structured replies first")
        offered = enumerate(self._catalog.offer(name).contexts, start=1)
        chosen = tuple((number, context) for number, context in offered if context in queries)
        for number, context in chosen:
            packed = U32.pack(number) + context.encode()
            yield from _reply(Option.SET_META_CONTEXT, Rep.META_CONTEXT, packed)
        self._contexts, self._contexts_of = chosen, name
        return (yield from _reply(Option.SET_META_CONTEXT, Rep.ACK))

    def _flags(self, offer: Offer) -> int:
        return offer.flags | (SEND_DF if self._structured else 0)

    def _enter(self, name: str, offer: Offer) -> Entry:
        contexts = self._contexts if self._contexts_of == name else ()
        return Entry(name, offer, self._structured, contexts)


def _reply(option: int, kind: Rep, data: bytes = b"") -> Steps[Entry | None]:
    yield Send(OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data)
    return None


def _expect_nothing(data: bytes) -> None:
    if data:
        raise Damaged("This NBD option takes no data")


def _matches(query: str, context: str) -> bool:
    """A query is a whole name, or ends with a colon and stands for all names that begin with it."""
    return context == query or (query.endswith(":") and context.startswith(query))


def _rep_for(error: BasculeError) -> Rep:
    if isinstance(error, Missing):
        return Rep.ERR_UNKNOWN
    if isinstance(error, Unavailable):
        return Rep.ERR_SHUTDOWN  # The only error reply that says: ask later.
    return Rep.ERR_INVALID if isinstance(error, Damaged) else Rep.ERR_POLICY
