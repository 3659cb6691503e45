"""Both sides of the handshake, talking to each other and to peers that lie."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.client_handshake import (
    Agreement,
    Wish,
    choose_export,
    list_contexts,
    list_exports,
)
from bascule.wire.nbd.protocol.constants import Option, Rep
from bascule.wire.nbd.protocol.dialogue import Dialogue, Receive, Steps
from bascule.wire.nbd.protocol.options import BlockSizes, pack_go, pack_meta
from bascule.wire.nbd.protocol.server_handshake import Entry, Offer, ServerHandshake, TlsMode

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


OFFERS = {
    "disk": Offer(1 << 40, nbd.HAS_FLAGS, contexts=("base:allocation", "qemu:dirty-bitmap:b0", "qemu:x")),
    "blocky": Offer(1 << 20, nbd.HAS_FLAGS | nbd.READ_ONLY, BlockSizes(512, 4096, 1 << 20)),
}


class Shelf:
    """A catalog of two disks, one that is away and one that may not be had."""

    def names(self) -> Iterable[str]:
        return list(OFFERS)

    def offer(self, name: str) -> Offer:
        if name == "away":
            raise Unavailable("The store is away")
        if name == "secret":
            raise Refused("Not for you")
        if name not in OFFERS:
            raise Missing(f"There is no export {name!r}")
        return OFFERS[name]


def serve(tls: TlsMode = TlsMode.OFF) -> Dialogue[Entry | None]:
    return Dialogue(ServerHandshake(Shelf(), tls).steps())


def push(dialogue: Dialogue[object], data: bytes, sizes: Iterable[int] = (1 << 20,)) -> bytes:
    """Give a dialogue what it asks for of the data, in pieces; return the rest."""
    sizes = list(sizes)
    turn = 0
    while data and not dialogue.finished and not dialogue.wants_tls:
        buffer = dialogue.buffer()
        count = min(len(buffer), len(data), sizes[turn % len(sizes)])
        buffer[:count] = data[:count]
        data, turn = data[count:], turn + 1
        dialogue.received(count)
    return data


def meet(wish: Wish, server: Dialogue[Entry | None], talk, sizes: Iterable[int] = (1 << 20,)):
    """Let client and server talk until the client is done; return what each got, and the client's words."""
    client = Dialogue(talk(wish))
    to_client = to_server = heard = b""
    while True:
        to_client += server.take_outgoing()
        if client.wants_tls and server.wants_tls:
            client.tls_started()
            server.tls_started()
        to_client = push(client, to_client, sizes)
        words = client.take_outgoing()
        to_server, heard = to_server + words, heard + words
        to_server = push(server, to_server, sizes)
        if client.finished:
            return client.result, server.result if server.finished else None, heard


def agree(wish: Wish, tls: TlsMode = TlsMode.OFF, sizes: Iterable[int] = (1 << 20,)):
    agreement, entry, _ = meet(wish, serve(tls), choose_export, sizes)
    return agreement, entry


@given(SIZES)
def test_both_sides_agree_whatever_the_pieces_the_words_come_in(sizes: list[int]) -> None:
    agreement, entry = agree(Wish("disk", ("base:allocation", "qemu:dirty-bitmap:")), sizes=sizes)
    assert agreement == Agreement(
        1 << 40, nbd.HAS_FLAGS | nbd.SEND_DF, BlockSizes(), True,
        {1: "base:allocation", 2: "qemu:dirty-bitmap:b0"},
    )  # fmt: skip
    assert (entry.export, entry.structured) == ("disk", True)
    assert entry.contexts == ((1, "base:allocation"), (2, "qemu:dirty-bitmap:b0"))


def test_block_sizes_reach_the_client() -> None:
    agreement, _ = agree(Wish("blocky"))
    assert agreement.sizes == BlockSizes(512, 4096, 1 << 20)
    assert agreement.flags & nbd.READ_ONLY


def test_contexts_an_export_does_not_have_are_left_out() -> None:
    agreement, _ = agree(Wish("blocky", ("base:allocation",)))
    assert agreement.contexts == {}


@pytest.mark.parametrize(
    ("name", "family"), [("none", Missing), ("away", Unavailable), ("secret", Refused), ("x" * 5000, Refused)]
)
def test_an_export_that_cannot_be_had_says_why(name: str, family: type[BasculeError]) -> None:
    with pytest.raises(family) as caught:
        agree(Wish(name))
    assert isinstance(caught.value, family)


@pytest.mark.parametrize("tls", [TlsMode.OPTIONAL, TlsMode.REQUIRED])
def test_tls_comes_before_all_else(tls: TlsMode) -> None:
    agreement, entry, heard = meet(Wish("disk", tls=True), serve(tls), choose_export)
    assert agreement.structured
    assert entry.structured
    assert heard[4:20] == nbd.OPTION.pack(nbd.OPTION_MAGIC, Option.STARTTLS, 0)


def test_a_server_that_demands_tls_tells_only_that() -> None:
    with pytest.raises(Refused, match="wants TLS"):
        agree(Wish("disk"), TlsMode.REQUIRED)
    with pytest.raises(Refused, match="wants TLS"):
        meet(Wish(""), serve(TlsMode.REQUIRED), list_exports)


def test_a_client_that_demands_tls_never_goes_on_without() -> None:
    with pytest.raises(Refused, match="refuses TLS"):
        agree(Wish("disk", tls=True), TlsMode.OFF)


def test_names_of_exports_are_listed() -> None:
    names, _, _ = meet(Wish(""), serve(), list_exports)
    assert names == ["disk", "blocky"]


@pytest.mark.parametrize(
    ("queries", "found"),
    [
        ((), ["base:allocation", "qemu:dirty-bitmap:b0", "qemu:x"]),
        (("base:",), ["base:allocation"]),
        (("qemu:",), ["qemu:dirty-bitmap:b0", "qemu:x"]),
        (("qemu:dirty-bitmap:", "base:allocation"), ["base:allocation", "qemu:dirty-bitmap:b0"]),
        (("qemu:dirty",), []),
        (("x-other:",), []),
    ],
)
def test_contexts_are_listed_by_wildcard(queries: tuple[str, ...], found: list[str]) -> None:
    names, _, _ = meet(Wish("disk", queries), serve(), list_contexts)
    assert names == found


def option(number: int, data: bytes = b"") -> bytes:
    return nbd.OPTION.pack(nbd.OPTION_MAGIC, number, len(data)) + data


def ask(
    *options: bytes, tls: TlsMode = TlsMode.OFF, flags: int = 3
) -> tuple[list[int], Dialogue[Entry | None]]:
    """Send options to a server; return the types of its replies, and the server."""
    server = serve(tls)
    server.take_outgoing()
    push(server, flags.to_bytes(4, "big") + b"".join(options))
    said, kinds = server.take_outgoing(), []
    while len(said) >= 20 and said[:8] == nbd.U64.pack(nbd.OPTION_REPLY_MAGIC):
        _, _, kind, length = nbd.OPTION_REPLY.unpack_from(said)
        said = said[20 + length :]
        kinds.append(kind)
    return kinds, server


REFUSED_OPTIONS = {
    "unknown": (option(99), Rep.ERR_UNSUP),
    "peek": (option(4), Rep.ERR_UNSUP),
    "list with data": (option(Option.LIST, b"x"), Rep.ERR_INVALID),
    "structured reply with data": (option(Option.STRUCTURED_REPLY, b"x"), Rep.ERR_INVALID),
    "tls without certificates": (option(Option.STARTTLS), Rep.ERR_POLICY),
    "go without a name": (option(Option.GO), Rep.ERR_INVALID),
    "go with a name longer than itself": (option(Option.GO, b"\xff\xff\xff\xffdisk"), Rep.ERR_INVALID),
    "go with too many wishes": (option(Option.GO, pack_go("disk")[:-4] + b"\xff\xff"), Rep.ERR_INVALID),
    "go with a tail": (option(Option.GO, pack_go("disk") + b"x"), Rep.ERR_INVALID),
    "go to nowhere": (option(Option.GO, pack_go("none")), Rep.ERR_UNKNOWN),
    "go with rubbish for a name": (option(Option.GO, b"\0\0\0\2\xff\xfe\0\0"), Rep.ERR_INVALID),
    "go with a NUL": (option(Option.GO, pack_go("di\0sk")), Rep.ERR_INVALID),
    "go with an oversize name": (option(Option.GO, pack_go("x" * 4097)), Rep.ERR_INVALID),
    "info of nowhere": (option(Option.INFO, pack_go("none")), Rep.ERR_UNKNOWN),
    "contexts too early": (option(Option.SET_META_CONTEXT, pack_meta("disk", ["base:"])), Rep.ERR_INVALID),
    "contexts cut short": (
        option(Option.LIST_META_CONTEXT, pack_meta("disk", ["base:"])[:-2]),
        Rep.ERR_INVALID,
    ),
    "contexts of nowhere": (option(Option.LIST_META_CONTEXT, pack_meta("none", [])), Rep.ERR_UNKNOWN),
    "a flood of queries": (
        option(Option.LIST_META_CONTEXT, b"\0\0\0\4disk\xff\xff\xff\xff"),
        Rep.ERR_INVALID,
    ),
}


@pytest.mark.parametrize(("asked", "reply"), REFUSED_OPTIONS.values(), ids=REFUSED_OPTIONS.keys())
def test_an_option_that_is_refused_may_be_followed_by_another(asked: bytes, reply: Rep) -> None:
    kinds, server = ask(asked, option(Option.GO, pack_go("disk")))
    assert kinds == [reply, Rep.INFO, Rep.INFO, Rep.ACK]
    assert server.result.export == "disk"


def test_an_export_with_blocks_wants_them_noticed() -> None:
    kinds, server = ask(option(Option.GO, pack_go("blocky", ())))
    assert kinds[-1] == Rep.ERR_BLOCK_SIZE_REQD
    assert not server.finished


def test_contexts_of_one_export_are_not_those_of_another() -> None:
    _, server = ask(
        option(Option.STRUCTURED_REPLY),
        option(Option.SET_META_CONTEXT, pack_meta("disk", ["base:allocation"])),
        option(Option.GO, pack_go("blocky")),
    )
    assert server.result.contexts == ()


def test_what_was_said_before_tls_is_forgotten_after() -> None:
    kinds, server = ask(option(Option.STRUCTURED_REPLY), option(Option.STARTTLS), tls=TlsMode.OPTIONAL)
    assert kinds == [Rep.ACK, Rep.ACK]
    server.tls_started()
    push(server, option(Option.STARTTLS) + option(Option.GO, pack_go("disk")))
    assert server.result.structured is False


def test_a_server_with_certificates_lets_a_plain_client_in_unless_it_must_not() -> None:
    kinds, server = ask(option(Option.GO, pack_go("disk")), tls=TlsMode.OPTIONAL)
    assert server.result.export == "disk"
    kinds, server = ask(option(Option.LIST), option(Option.INFO, pack_go("disk")), tls=TlsMode.REQUIRED)
    assert kinds == [Rep.ERR_TLS_REQD, Rep.ERR_TLS_REQD]


@pytest.mark.parametrize(
    ("flags", "padding"), [(1, 124), (3, 0), (0, 124)], ids=["zeroes", "no zeroes", "an old client"]
)
def test_an_old_client_gets_the_old_reply(flags: int, padding: int) -> None:
    server = serve()
    server.take_outgoing()
    push(server, flags.to_bytes(4, "big") + option(Option.EXPORT_NAME, b"disk"))
    assert server.take_outgoing() == nbd.EXPORT_NAME_REPLY.pack(1 << 40, nbd.HAS_FLAGS) + bytes(padding)
    assert server.result.structured is False


def test_goodbye_is_answered_and_ends_the_handshake() -> None:
    kinds, server = ask(option(Option.ABORT))
    assert kinds == [Rep.ACK]
    assert server.result is None


LIES = {
    "unknown flags": lambda: ask(flags=4),
    "a bad magic": lambda: ask(b"GET / HTTP/1.1\r\n\r\n"),
    "an absurd length": lambda: ask(nbd.OPTION.pack(nbd.OPTION_MAGIC, Option.LIST, 2**32 - 1)),
    "an unknown export by name": lambda: ask(option(Option.EXPORT_NAME, b"none")),
    "an export by name without TLS": lambda: ask(option(Option.EXPORT_NAME, b"disk"), tls=TlsMode.REQUIRED),
    "options without end": lambda: ask(*[option(Option.LIST)] * nbd.OPTIONS_MAX),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_client_that_lies_ends_its_handshake(lie) -> None:
    with pytest.raises(BasculeError):
        lie()


@given(st.binary(max_size=200), st.sampled_from(Option), SIZES)
def test_rubbish_for_an_option_never_raises_anything_but_our_errors(
    data: bytes, number: Option, sizes: list[int]
) -> None:
    for tls in TlsMode:
        server = serve(tls)
        with contextlib.suppress(BasculeError):
            push(server, b"\0\0\0\3" + option(number, data) + data, sizes)


def answers(wish: Wish, *words: bytes, talk=choose_export) -> Dialogue[object]:
    """Let a made-up server answer a client."""
    client = Dialogue(talk(wish))
    push(client, b"".join(words))
    return client


HELLO = nbd.HELLO.pack(nbd.HELLO_MAGIC, nbd.OPTION_MAGIC, 3)


def rep(number: int, kind: int, data: bytes = b"") -> bytes:
    return nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, number, kind, len(data)) + data


UNSTRUCTURED = rep(Option.STRUCTURED_REPLY, Rep.ERR_UNSUP)
STRUCTURED = rep(Option.STRUCTURED_REPLY, Rep.ACK)
SIZE = rep(Option.GO, Rep.INFO, nbd.EXPORT_INFO.pack(0, 1000, 1))
GO = rep(Option.GO, Rep.ACK)


def test_an_old_server_without_go_is_asked_by_name() -> None:
    raw = HELLO + UNSTRUCTURED + rep(Option.GO, Rep.ERR_UNSUP) + nbd.EXPORT_NAME_REPLY.pack(1000, 3)
    client = answers(Wish("a"), raw)
    assert client.result == Agreement(1000, 3)
    assert client.take_outgoing().endswith(option(Option.EXPORT_NAME, b"a"))


def test_a_server_of_the_plain_newstyle_is_asked_by_name() -> None:
    hello = nbd.HELLO.pack(nbd.HELLO_MAGIC, nbd.OPTION_MAGIC, 0)
    client = answers(Wish("a", ("base:allocation",)), hello, nbd.EXPORT_NAME_REPLY.pack(1000, 3), bytes(124))
    assert client.result == Agreement(1000, 3)
    assert client.take_outgoing() == bytes(4) + option(Option.EXPORT_NAME, b"a")


def test_information_nobody_asked_for_is_passed_over() -> None:
    extra = rep(Option.GO, Rep.INFO, b"\0\2a nice disk") + rep(Option.GO, Rep.INFO, b"\x7f\x7f?")
    assert answers(Wish("a"), HELLO, UNSTRUCTURED, extra, SIZE, GO).result == Agreement(1000, 1)


LYING_SERVERS = {
    "not NBD": (b"HTTP/1.1 400 Bad Request\r\n",),
    "a bad reply magic": (HELLO, bytes(20)),
    "a reply to another option": (HELLO, rep(Option.GO, Rep.ACK)),
    "an absurd length": (HELLO, nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, 8, 1, 2**32 - 1)),
    "no size": (HELLO, UNSTRUCTURED, GO),
    "an impossible size": (
        HELLO,
        UNSTRUCTURED,
        rep(Option.GO, Rep.INFO, nbd.EXPORT_INFO.pack(0, 2**64 - 1, 1)),
        GO,
    ),
    "a size of odd form": (HELLO, UNSTRUCTURED, rep(Option.GO, Rep.INFO, b"\0\0xx"), GO),
    "an empty information": (HELLO, UNSTRUCTURED, rep(Option.GO, Rep.INFO), SIZE, GO),
    "impossible blocks": (
        HELLO,
        UNSTRUCTURED,
        SIZE,
        rep(Option.GO, Rep.INFO, nbd.BLOCK_INFO.pack(3, 3, 4096, 4096)),
        GO,
    ),
    "no blocks at all": (
        HELLO,
        UNSTRUCTURED,
        SIZE,
        rep(Option.GO, Rep.INFO, nbd.BLOCK_INFO.pack(3, 0, 0, 0)),
        GO,
    ),
    "blocks of odd form": (HELLO, UNSTRUCTURED, SIZE, rep(Option.GO, Rep.INFO, b"\0\3"), GO),
    "a context number twice": (
        HELLO,
        STRUCTURED,
        rep(Option.SET_META_CONTEXT, Rep.META_CONTEXT, b"\0\0\0\1a:") * 2,
        rep(Option.SET_META_CONTEXT, Rep.ACK),
    ),
    "replies without end": (HELLO, rep(Option.STRUCTURED_REPLY, Rep.SERVER, bytes(60_000)) * 300),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", LYING_SERVERS.values(), ids=LYING_SERVERS.keys())
def test_a_server_that_lies_is_damaged(words: tuple[bytes, ...]) -> None:
    with pytest.raises(Damaged):
        answers(Wish("a", ("a:b",)), *words)


def test_an_oldstyle_server_is_refused() -> None:
    with pytest.raises(Refused, match="oldstyle"):
        answers(Wish("a"), nbd.HELLO.pack(nbd.HELLO_MAGIC, 0x00420281861253, 0))


@given(st.binary(max_size=400), st.sampled_from([choose_export, list_exports, list_contexts]), SIZES)
def test_a_server_talking_rubbish_never_raises_anything_but_our_errors(
    data: bytes, talk, sizes: list[int]
) -> None:
    for hello in (b"", HELLO, HELLO + STRUCTURED, HELLO + UNSTRUCTURED):
        client = Dialogue(talk(Wish("a", ("a:", "b:c"))))
        with contextlib.suppress(BasculeError):
            push(client, hello + data, sizes)


@given(st.data(), SIZES)
def test_a_changed_byte_never_raises_anything_but_our_errors(data: st.DataObject, sizes: list[int]) -> None:
    context = rep(Option.SET_META_CONTEXT, Rep.META_CONTEXT, b"\0\0\0\1base:allocation")
    raw = bytearray(HELLO + STRUCTURED + context + rep(Option.SET_META_CONTEXT, Rep.ACK) + SIZE + GO)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    client = Dialogue(choose_export(Wish("a", ("base:allocation",))))
    with contextlib.suppress(BasculeError):
        push(client, bytes(raw), sizes)


def test_a_refusal_keeps_a_terminal_safe() -> None:
    with pytest.raises(Refused) as caught:
        answers(Wish("a"), HELLO, UNSTRUCTURED, rep(Option.GO, Rep.ERR_POLICY, b"no\x1b[2J way"))
    assert str(caught.value).endswith("refuses export 'a': ERR_POLICY: no[2J way")


def test_an_empty_step_is_no_step() -> None:
    def steps() -> Steps[int]:
        return len((yield Receive(0))) + len((yield Receive(2)))

    dialogue = Dialogue(steps())
    push(dialogue, b"ab")
    assert dialogue.result == 2
