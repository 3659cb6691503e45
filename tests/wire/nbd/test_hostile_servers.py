"""Servers that break the rules, stall or vanish cost the client its connection, with the right error."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bascule.model.errors import BasculeError, Damaged, Unavailable
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.connecting import Access
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.constants import Option, Rep
from bascule.wire.nbd.protocol.replies import Buffer, chunks, simple_reply, status_chunk
from lab.waiting import wait_until

MIB = 1024 * 1024
QUICK = Access(timeout=0.3)


def rep(number: int, kind: int, data: bytes = b"") -> bytes:
    return nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, number, kind, len(data)) + data


HELLO = nbd.HELLO.pack(nbd.HELLO_MAGIC, nbd.OPTION_MAGIC, 3)
FLAGS = nbd.HAS_FLAGS | nbd.SEND_FLUSH | nbd.SEND_WRITE_ZEROES
WELCOME = (
    HELLO
    + rep(Option.STRUCTURED_REPLY, Rep.ACK)
    + rep(Option.SET_META_CONTEXT, Rep.META_CONTEXT, b"\0\0\0\1base:allocation")
    + rep(Option.SET_META_CONTEXT, Rep.ACK)
    + rep(Option.GO, Rep.INFO, nbd.EXPORT_INFO.pack(0, 16 * MIB, FLAGS))
    + rep(Option.GO, Rep.ACK)
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the server's end of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def connect(ours: socket.socket) -> Client:
    return Client.over(ours, contexts=["base:allocation"], access=QUICK)


def sent(*buffers: Buffer) -> bytes:
    return b"".join(buffers)


WRONG = {
    "a wrong magic": (b"x" * 32, Damaged),
    "an unknown cookie": (simple_reply(99), Damaged),
    "too much data": (sent(*chunks(1, 0, 8192, [(8192, bytes(8192))])), Damaged),
    "too little data": (sent(*chunks(1, 0, 100, [(100, bytes(100))])), Damaged),
    "an early end": (b"", Unavailable),
    "an end in a header": (sent(*chunks(1, 0, 4096, [(4096, bytes(4096))]))[:10], Unavailable),
    "an end in the data": (sent(*chunks(1, 0, 4096, [(4096, bytes(4096))]))[:1000], Unavailable),
}


@pytest.mark.parametrize(("reply", "family"), WRONG.values(), ids=WRONG.keys())
def test_a_server_that_goes_wrong_costs_the_connection(
    pair: tuple[socket.socket, socket.socket], reply: bytes, family: type[BasculeError]
) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME + reply)
    client = connect(ours)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(family):
        client.read_into(0, memoryview(bytearray(4096)))
    with pytest.raises(Unavailable, match="not connected"):
        client.flush()
    client.close()


@pytest.mark.parametrize("said", [WELCOME[:at] for at in (0, 5, 18, 30, 60, len(WELCOME) - 1)])
def test_a_server_may_fall_silent_after_any_word(
    pair: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ours, theirs = pair
    theirs.sendall(said)
    with pytest.raises(Unavailable, match=r"in time|too long"):
        connect(ours)


def test_a_silent_server_is_unavailable_after_the_time_allowed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME)
    client = connect(ours)
    with pytest.raises(Unavailable, match="in time"):
        client.flush()


@pytest.mark.parametrize("said", [b"", WELCOME], ids=["handshake", "reply"])
def test_a_server_that_drips_is_unavailable(pair: tuple[socket.socket, socket.socket], said: bytes) -> None:
    ours, theirs = pair
    caught: list[BasculeError] = []

    def work() -> None:
        try:
            with connect(ours) as client:
                client.read_into(0, memoryview(bytearray(65536)))
        except BasculeError as error:
            caught.append(error)

    theirs.sendall(said)
    working = threading.Thread(target=work)
    working.start()
    words = iter((WELCOME if not said else b"") + sent(*chunks(1, 0, 65536, [(65536, bytes(65536))])))

    def drip() -> bool:
        try:
            theirs.send(bytes([next(words)]))
        except OSError:
            return True
        return bool(caught)

    wait_until(drip)
    working.join(10)
    assert isinstance(caught[0], Unavailable)


def test_a_server_that_takes_no_requests_is_unavailable(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME)
    client = connect(ours)
    data = memoryview(bytes(MIB))
    with pytest.raises(Unavailable, match="in time"):
        client.write_many(((0, data) for _ in range(64)), depth=64)


BAD_STATUS = {
    "a context that was not agreed": status_chunk(1, 9, [(4096, 0)], last=True),
    "an extent without length": status_chunk(1, 1, [(4096, 0), (0, 1)], last=True),
    "a success without status": nbd.CHUNK.pack(nbd.CHUNK_MAGIC, nbd.DONE, nbd.CHUNK_NONE, 1, 0),
    "a simple success": simple_reply(1),
}


@pytest.mark.parametrize("reply", BAD_STATUS.values(), ids=BAD_STATUS.keys())
def test_a_false_block_status_is_damaged(pair: tuple[socket.socket, socket.socket], reply: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME + reply)
    client = connect(ours)
    with pytest.raises(Damaged):
        list(client.extents("base:allocation"))


def test_an_extent_longer_than_asked_for_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME + status_chunk(1, 1, [(4096, 0), (2**32 - 4096, 3)], last=True))
    client = connect(ours)
    assert list(client.extents("base:allocation", 0, 8192)) == [(0, 4096, 0), (4096, 4096, 3)]


def test_extents_that_stop_short_are_asked_for_again_and_joined(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(WELCOME)
    client = connect(ours)
    theirs.recv(65536)
    replies = [[(4096, 0)], [(4096, 0), (4096, 1)], [(4096, 1)]]

    def answer() -> None:
        for cookie, reply in enumerate(replies, start=1):
            theirs.recv(nbd.REQUEST.size, socket.MSG_WAITALL)
            theirs.sendall(status_chunk(cookie, 1, reply, last=True))

    answering = threading.Thread(target=answer)
    answering.start()
    assert list(client.extents("base:allocation", 0, 16384)) == [(0, 8192, 0), (8192, 8192, 1)]
    answering.join(10)
