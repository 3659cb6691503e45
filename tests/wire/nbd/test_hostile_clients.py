"""Clients that break the rules, stall or vanish end their own connection and nothing else."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.memory import MemoryExport
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.constants import Option
from bascule.wire.nbd.protocol.options import pack_go, pack_meta
from bascule.wire.nbd.server import Ended, Server
from bascule.wire.nbd.session import Limits
from lab.waiting import wait_until
from tests.properties import share

MIB = 1024 * 1024


def option(number: int, data: bytes = b"") -> bytes:
    return nbd.OPTION.pack(nbd.OPTION_MAGIC, number, len(data)) + data


def request(command: int, offset: int = 0, length: int = 0, flags: int = 0, cookie: int = 7) -> bytes:
    return nbd.REQUEST.pack(nbd.REQUEST_MAGIC, flags, command, cookie, offset, length)


ENTER = b"\0\0\0\3" + option(Option.GO, pack_go("", ()))
ENTER_STRUCTURED = (
    b"\0\0\0\3"
    + option(Option.STRUCTURED_REPLY)
    + option(Option.SET_META_CONTEXT, pack_meta("", ["base:allocation"]))
    + option(Option.GO, pack_go("", ()))
)
DIALOGUE = (
    ENTER_STRUCTURED
    + request(nbd.READ, 0, 4096)
    + request(nbd.WRITE, 4096, 512)
    + b"x" * 512
    + request(nbd.BLOCK_STATUS, 0, MIB)
    + request(nbd.WRITE_ZEROES, 0, 65536)
    + request(nbd.TRIM, 65536, 65536)
    + request(nbd.FLUSH)
    + request(nbd.DISCONNECT)
)


@pytest.fixture
def hurried(tmp_path: Path, ended: list[Ended]) -> Iterator[Server]:
    """A server that gives its clients little time."""
    limits = Limits(connections=8, handshake_seconds=0.3, stall_seconds=0.3)
    where = Address(path=str(tmp_path / "hurried"))
    with Server({"": MemoryExport(16 * MIB)}, where, limits=limits, report=ended.append) as running:
        yield running


@contextlib.contextmanager
def raw(server: Server, said: bytes = b"") -> Iterator[socket.socket]:
    """Connect and say something without waiting for an answer."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(10)
        connected.connect(server.address.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connected.sendall(said)
        yield connected


def everything(connected: socket.socket) -> bytes:
    """Return all the server says until it closes."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connected.recv(65536):
            heard += piece
    return heard


def talk(server: Server, said: bytes) -> bytes:
    """Say something, leave, and return all the server said."""
    with raw(server, said) as connected:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_WR)
        return everything(connected)


def after_handshake(server: Server, *requests: bytes, enter: bytes = ENTER) -> bytes:
    heard = talk(server, enter + b"".join(requests) + request(nbd.DISCONNECT))
    return heard[heard.rindex(nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, Option.GO, 1, 0)) + 20 :]


def works(server: Server) -> bool:
    with Client.connect(server.address) as client:
        client.read_into(0, memoryview(bytearray(4096)))
    return True


@pytest.mark.parametrize("length", [*range(0, len(DIALOGUE), 7), len(DIALOGUE) - 1])
def test_a_client_may_vanish_after_any_word(server: Server, length: int) -> None:
    talk(server, DIALOGUE[:length])
    assert works(server)


@given(st.data())
@settings(max_examples=share(1.5), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_dialogue_with_changed_bytes_leaves_the_server_whole(server: Server, data: st.DataObject) -> None:
    said = bytearray(DIALOGUE)
    for place in data.draw(st.lists(st.integers(0, len(said) - 1), min_size=1, max_size=4)):
        said[place] ^= data.draw(st.integers(1, 255))
    talk(server, bytes(said))
    assert works(server)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\0\0\0\3", ENTER, ENTER_STRUCTURED]))
@settings(max_examples=share(1.5), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rubbish_leaves_the_server_whole(server: Server, data: bytes, before: bytes) -> None:
    talk(server, before + data)
    assert works(server)


BEFORE_TIME_IS_UP = {
    "silence": b"",
    "half a greeting": b"\0\0",
    "half an option": b"\0\0\0\3" + option(Option.LIST)[:9],
    "an option without its data": b"\0\0\0\3" + nbd.OPTION.pack(nbd.OPTION_MAGIC, Option.GO, 100),
    "half a request": ENTER + request(nbd.READ)[:20],
    "a write without its data": ENTER + request(nbd.WRITE, 0, MIB) + b"x" * 1000,
    "a long write without its end": ENTER + request(nbd.WRITE, 0, 32 * MIB) + b"x" * MIB,
}


@pytest.mark.parametrize("said", BEFORE_TIME_IS_UP.values(), ids=BEFORE_TIME_IS_UP.keys())
def test_half_a_word_is_not_waited_for_without_end(hurried: Server, ended: list[Ended], said: bytes) -> None:
    with raw(hurried, said) as connected:
        everything(connected)
    hurried.stop()
    assert [end.error != "" for end in ended] == [True]


@pytest.mark.parametrize(
    "said",
    [b"\0\0\0\3" + option(Option.LIST) * 200, ENTER + request(nbd.WRITE, 0, 4096)],
    ids=["options", "a write"],
)
def test_a_slow_drip_is_cut_off(hurried: Server, ended: list[Ended], said: bytes) -> None:
    with raw(hurried, said[:-1]) as connected:

        def drip() -> bool:
            with contextlib.suppress(OSError):
                connected.send(b"\0")
            return bool(ended)

        wait_until(drip)
    assert ended[0].error


def test_an_idle_client_may_stay(hurried: Server, ended: list[Ended]) -> None:
    with Client.connect(hurried.address) as idle:
        with raw(hurried):
            wait_until(lambda: len(ended) == 1)  # twice the time that half a word is given
        with raw(hurried):
            wait_until(lambda: len(ended) == 2)
        idle.read_into(0, memoryview(bytearray(1)))


def test_a_client_that_takes_no_replies_is_given_up(hurried: Server, ended: list[Ended]) -> None:
    with Client.connect(hurried.address) as client:
        client.write(0, memoryview(b"x" * 16 * MIB))
    with raw(hurried, ENTER + request(nbd.READ, 0, 16 * MIB) * 8):
        wait_until(lambda: len(ended) == 2)
    assert works(hurried)


def test_too_many_greedy_clients_leave_room_when_their_time_is_up(
    hurried: Server, ended: list[Ended]
) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(30):
            crowd.enter_context(raw(hurried))
        wait_until(lambda: len(ended) == 30)
        assert works(hurried)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (request(nbd.READ, 16 * MIB, 1), nbd.EINVAL),
        (request(nbd.READ, 2**64 - 1, 4096), nbd.EINVAL),
        (request(nbd.READ, 0, 0), nbd.EINVAL),
        (request(nbd.READ, 0, 2**32 - 1), nbd.EINVAL),
        (request(nbd.READ, 0, 1, flags=nbd.REQ_ONE), nbd.EINVAL),
        (request(nbd.WRITE, 16 * MIB - 1, 2) + b"xx", nbd.ENOSPC),
        (request(nbd.WRITE, 2**64 - 1, 2) + b"xx", nbd.ENOSPC),
        (request(nbd.WRITE, 15 * MIB, 2 * MIB) + bytes(2 * MIB), nbd.ENOSPC),
        (request(nbd.WRITE, 0, 0), nbd.EINVAL),
        (request(nbd.WRITE_ZEROES, 0, 1, flags=nbd.FAST_ZERO), nbd.EINVAL),
        (request(nbd.WRITE_ZEROES, 1, 2**32 - 1), nbd.ENOSPC),
        (request(nbd.TRIM, 0, 17 * MIB), nbd.ENOSPC),
        (request(nbd.CACHE, 16 * MIB, 1), nbd.EINVAL),
        (request(nbd.BLOCK_STATUS, 0, 1), nbd.EINVAL),
        (request(99), nbd.EINVAL),
        (request(65535, 2**64 - 1, 2**32 - 1, flags=65535), nbd.EINVAL),
    ],
)
def test_a_wrong_request_gets_an_error_and_the_next_its_answer(
    server: Server, asked: bytes, error: int
) -> None:
    heard = after_handshake(server, asked, request(nbd.FLUSH, cookie=8))
    replies = set(struct.iter_unpack(">IIQ", heard))
    assert replies == {(nbd.SIMPLE_MAGIC, error, 7), (nbd.SIMPLE_MAGIC, 0, 8)}


@pytest.mark.parametrize("command", [nbd.WRITE, nbd.WRITE_ZEROES, nbd.TRIM])
def test_changing_a_read_only_export_is_not_permitted(server: Server, command: int) -> None:
    enter = b"\0\0\0\3" + option(Option.GO, pack_go("fixed", ()))
    heard = after_handshake(server, request(command, 0, 1) + b"x" * (command == nbd.WRITE), enter=enter)
    assert heard == nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, nbd.EPERM, 7)


def test_structured_errors_say_what_is_wrong(server: Server) -> None:
    heard = after_handshake(server, request(nbd.READ, 16 * MIB, 1), enter=ENTER_STRUCTURED)
    assert nbd.CHUNK.unpack_from(heard)[:4] == (nbd.CHUNK_MAGIC, nbd.DONE, nbd.CHUNK_ERROR, 7)
    assert nbd.ERROR.unpack_from(heard, nbd.CHUNK.size)[0] == nbd.EINVAL


def test_a_read_that_must_not_be_cut_comes_in_one_chunk(server: Server, disk: MemoryExport) -> None:
    disk.write(3 * MIB, memoryview(b"x" * 65536))
    heard = after_handshake(server, request(nbd.READ, 2 * MIB, 4 * MIB, flags=nbd.DF), enter=ENTER_STRUCTURED)
    magic, flags, kind, _, length, offset = nbd.DATA_CHUNK.unpack_from(heard)
    assert (magic, flags, kind, length, offset) == (
        nbd.CHUNK_MAGIC,
        nbd.DONE,
        nbd.CHUNK_DATA,
        4 * MIB + 8,
        2 * MIB,
    )
    assert heard[nbd.DATA_CHUNK.size :] == bytes(MIB) + b"x" * 65536 + bytes(3 * MIB - 65536)


def test_one_extent_is_told_where_one_is_asked_for(server: Server, disk: MemoryExport) -> None:
    disk.write(MIB, memoryview(b"x" * MIB))
    heard = after_handshake(
        server, request(nbd.BLOCK_STATUS, 0, 16 * MIB, flags=nbd.REQ_ONE), enter=ENTER_STRUCTURED
    )
    assert heard[nbd.CHUNK.size + 4 :] == nbd.DESCRIPTOR.pack(MIB, 3)


def test_a_client_without_structured_replies_gets_plain_bytes(server: Server, disk: MemoryExport) -> None:
    disk.write(65536, memoryview(b"x" * 65536))
    heard = after_handshake(server, request(nbd.READ, 0, 3 * MIB))
    assert heard[:16] == nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, 0, 7)
    assert heard[16:] == bytes(65536) + b"x" * 65536 + bytes(3 * MIB - 131072)


def test_a_long_write_that_fails_gets_one_error(server: Server, disk) -> None:
    disk.fault = OSError(28, "full")
    heard = after_handshake(server, request(nbd.WRITE, 0, 5 * MIB), bytes(5 * MIB))
    assert heard == nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, nbd.ENOSPC, 7)


@pytest.mark.parametrize("command", [nbd.READ, nbd.CACHE])
def test_a_client_that_vanished_costs_no_more_reads(
    server: Server, disk, ended: list[Ended], command: int
) -> None:
    disk.cold = {at * MIB for at in range(16)}
    disk.gate.clear()
    with raw(server, ENTER_STRUCTURED + request(command, 0, 16 * MIB) * 3):
        assert disk.waiting.acquire(timeout=10)
    if command == nbd.CACHE:
        server.stop(grace_seconds=0.05)
    disk.gate.set()
    wait_until(lambda: len(ended) == 1)
    reads = 3
    while disk.waiting.acquire(blocking=False):
        reads -= 1
    assert reads >= 0
