"""The client's side of the handshake: fixed newstyle, and the plain newstyle of old servers.

Order: greeting, TLS first so that nothing after it can be tampered with, then
structured replies, then meta contexts, then GO. A server that knows no GO gets
EXPORT_NAME, which cannot say why it refuses: it closes the connection.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable

from .constants import (
    ANSWER_MAX,
    EXPORT_INFO,
    EXPORT_NAME_REPLY,
    FIXED_NEWSTYLE,
    HELLO,
    HELLO_MAGIC,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    NO_ZEROES,
    OPTION,
    OPTION_MAGIC,
    OPTION_MAX,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    REP_ERROR_BIT,
    U32,
    Option,
    Rep,
)
from .dialogue import Receive, Send, StartTls, Step, Steps
from .options import (
    ANY_BLOCK,
    BlockSizes,
    Unpacker,
    checked_size,
    pack_go,
    pack_meta,
    text,
    unpack_block_info,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants. A context that ends with a colon stands for all the server has of that kind."""

    export: str
    contexts: tuple[str, ...] = ()
    tls: bool = False
    peer: str = "the NBD server"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides know when the transmission phase begins."""

    size_bytes: int
    flags: int
    sizes: BlockSizes = ANY_BLOCK
    structured: bool = False
    contexts: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The replies to one option: those before the last one, and the error if it ended with one."""

    replies: Sequence[tuple[int, bytes]]
    error: int = 0
    message: str = ""


def choose_export(wish: Wish) -> Steps[Agreement]:
    """Negotiate everything and enter the transmission phase."""
    flags = yield from _greet(wish)
    if not flags & FIXED_NEWSTYLE:
        return (yield from _export_name(wish, flags, Agreement(0, 0)))
    structured = (yield from _ask(Option.STRUCTURED_REPLY)).error == 0
    contexts: Mapping[int, str] = {}
    if wish.contexts and structured:
        contexts = yield from _set_contexts(wish)
    agreed = Agreement(0, 0, structured=structured, contexts=contexts)
    answer = yield from _ask(Option.GO, pack_go(wish.export))
    if answer.error == Rep.ERR_UNSUP:
        return (yield from _export_name(wish, flags, agreed))
    if answer.error:
        raise _refusal(wish, answer)
    return _from_info(wish, answer, agreed)


def list_exports(wish: Wish) -> Steps[list[str]]:
    """Ask for the names of all exports, and say goodbye."""
    yield from _greet_fixed(wish)
    answer = yield from _ask(Option.LIST)
    if answer.error:
        raise _refusal(wish, answer)
    names = [Unpacker(data).string() for kind, data in answer.replies if kind == Rep.SERVER]
    yield _option(Option.ABORT)
    return names


def list_contexts(wish: Wish) -> Steps[list[str]]:
    """Ask which meta contexts the export has, all or those that match ``wish.contexts``, and say goodbye."""
    yield from _greet_fixed(wish)
    if (yield from _ask(Option.STRUCTURED_REPLY)).error:
        return []
    answer = yield from _ask(Option.LIST_META_CONTEXT, pack_meta(wish.export, wish.contexts))
    if answer.error and answer.error != Rep.ERR_UNSUP:
        raise _refusal(wish, answer)
    yield _option(Option.ABORT)
    return _names(answer)


def _greet(wish: Wish) -> Steps[int]:
    hello, magic, flags = HELLO.unpack((yield Receive(HELLO.size)))
    if hello != HELLO_MAGIC:
        raise Damaged(f"{wish.peer} does not speak NBD", cure="check the address and the port")
    if magic != OPTION_MAGIC:
        raise Refused(f"{wish.peer} speaks oldstyle NBD", cure="serve the disk with a current server")
    yield Send(U32.pack(flags & (FIXED_NEWSTYLE | NO_ZEROES)))
    if wish.tls:
        if not flags & FIXED_NEWSTYLE:
            raise Refused(f"{wish.peer} knows no TLS", cure="allow plain connections or use a current server")
        answer = yield from _ask(Option.STARTTLS)
        if answer.error:
            raise Refused(f"{wish.peer} refuses TLS{answer.message}", cure="give the server certificates")
        yield StartTls()
    return int(flags)


def _greet_fixed(wish: Wish) -> Steps[None]:
    if not (yield from _greet(wish)) & FIXED_NEWSTYLE:
        raise Refused(f"{wish.peer} cannot list anything", cure="use a current server")


def _option(option: Option, data: bytes = b"") -> Send:
    return Send(OPTION.pack(OPTION_MAGIC, option, len(data)) + data)


def _ask(option: Option, data: bytes = b"") -> Generator[Step, bytes, _Answer]:
    yield _option(option, data)
    replies: list[tuple[int, bytes]] = []
    room = ANSWER_MAX
    while True:
        magic, echoed, kind, length = OPTION_REPLY.unpack((yield Receive(OPTION_REPLY.size)))
        if magic != OPTION_REPLY_MAGIC or echoed != option:
            raise Damaged(f"The answer to NBD option {option.name} begins with {magic:#x}, {echoed}")
        room -= length + OPTION_REPLY.size
        if length > OPTION_MAX or room < 0:
            raise Damaged(f"The answer to NBD option {option.name} is too long ({length} bytes)")
        payload = yield Receive(length)
        if kind == Rep.ACK:
            return _Answer(replies)
        if kind & REP_ERROR_BIT:
            return _Answer(replies, kind, _spoken(payload))
        replies.append((kind, payload))


def _spoken(payload: bytes) -> str:
    words = "".join(c for c in payload[:200].decode(errors="replace") if c.isprintable())
    return f": {words}" if words else ""


def _set_contexts(wish: Wish) -> Steps[Mapping[int, str]]:
    wanted = [name for name in wish.contexts if not name.endswith(":")]
    wild = [name for name in wish.contexts if name.endswith(":")]
    if wild:
        listed = yield from _ask(Option.LIST_META_CONTEXT, pack_meta(wish.export, wild))
        wanted += [name for name in _names(listed) if name not in wanted]
    answer = yield from _ask(Option.SET_META_CONTEXT, pack_meta(wish.export, wanted))
    if answer.error == Rep.ERR_UNSUP:
        return {}
    if answer.error:
        raise _refusal(wish, answer)
    return _contexts(answer)


def _contexts(answer: _Answer) -> Mapping[int, str]:
    contexts: dict[int, str] = {}
    for kind, data in answer.replies:
        if kind == Rep.META_CONTEXT:
            fields = Unpacker(data)
            number = fields.u32()
            if number in contexts:
                raise Damaged(f"The NBD server gave the meta context number {number} twice")
            contexts[number] = text(fields.rest())
    return contexts


def _names(answer: _Answer) -> list[str]:
    """Names of a listing, where the protocol reserves the numbers."""
    if answer.error:
        return []
    return [text(data[4:]) for kind, data in answer.replies if kind == Rep.META_CONTEXT]


def _from_info(wish: Wish, answer: _Answer, agreed: Agreement) -> Agreement:
    size_bytes, flags, sizes = -1, 0, ANY_BLOCK
    for kind, data in answer.replies:
        about = Unpacker(data).u16() if kind == Rep.INFO else -1
        if about == INFO_EXPORT:
            if len(data) != EXPORT_INFO.size:
                raise Damaged(f"{wish.peer} describes its export in {len(data)} bytes")
            _, size_bytes, flags = EXPORT_INFO.unpack(data)
        elif about == INFO_BLOCK_SIZE:
            sizes = unpack_block_info(data)
    if size_bytes < 0:
        raise Damaged(f"{wish.peer} did not say how large export {wish.export!r} is")
    return Agreement(checked_size(size_bytes), flags, sizes, agreed.structured, agreed.contexts)


def _export_name(wish: Wish, hello_flags: int, agreed: Agreement) -> Steps[Agreement]:
    yield _option(Option.EXPORT_NAME, wish.export.encode())
    size_bytes, flags = EXPORT_NAME_REPLY.unpack((yield Receive(EXPORT_NAME_REPLY.size)))
    if not hello_flags & NO_ZEROES:
        yield Receive(124)
    return Agreement(checked_size(size_bytes), flags, ANY_BLOCK, agreed.structured, agreed.contexts)


def _refusal(wish: Wish, answer: _Answer) -> BasculeError:
    if answer.error == Rep.ERR_UNKNOWN:
        return Missing(f"{wish.peer} has no export {wish.export!r}{answer.message}", cure="list its exports")
    if answer.error == Rep.ERR_TLS_REQD:
        return Refused(f"{wish.peer} wants TLS{answer.message}", cure="connect with certificates")
    if answer.error == Rep.ERR_SHUTDOWN:
        return Unavailable(f"{wish.peer} is shutting down{answer.message}")
    why = Rep(answer.error).name if answer.error in set(Rep) else f"{answer.error:#x}"
    return Refused(f"{wish.peer} refuses export {wish.export!r}: {why}{answer.message}")
