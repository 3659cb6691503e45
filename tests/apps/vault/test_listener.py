"""Who comes to the API with what is no request, or too much of it, or too slowly, keeps nobody else out."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from bascule.apps.vault import listener
from bascule.front.api.errors import TurnedAway
from lab.waiting import wait_until
from tests.front.api import certificates

pytestmark = pytest.mark.lab
BIG = 32 << 20
GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Served:
    """A server of few words, and whom it refused."""

    port: int
    trust: ssl.SSLContext
    refused: list[TurnedAway]

    def plain(self, of: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(of, 0))

    def connected(self, of: str = "127.0.0.1") -> ssl.SSLSocket:
        return self.trust.wrap_socket(self.plain(of), server_hostname="127.0.0.1")

    def said(self, *parts: bytes) -> bytes:
        """Return all that is said to some bytes, until the connection ends."""
        with self.connected() as line:
            for part in parts:
                line.sendall(part)
            return rest(line)


def rest(line: ssl.SSLSocket) -> bytes:
    said = b""
    with suppress(ConnectionError, ssl.SSLEOFError):
        while part := line.recv(1 << 16):
            said += part
    return said


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    app = FastAPI()

    @app.get("/big")
    def big() -> Response:
        return Response(bytes(BIG))

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def good(request: Request) -> Response:
        return Response(await request.body(), headers={"Path": request.url.path})

    certificate, key = certificates.make(tmp_path)
    refused: list[TurnedAway] = []
    with listener.Entrance(socket.create_server(("127.0.0.1", 0)), refused.append) as entrance:
        running = uvicorn.Server(listener.config(app, certificate, key, refused.append))
        thread = threading.Thread(target=running.run, args=([entrance],))
        thread.start()
        try:
            wait_until(lambda: running.started, 30, "the server's start")
            context = ssl.create_default_context(cafile=str(certificate))
            yield Served(entrance.getsockname()[1], context, refused)
        finally:
            running.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /x HTTP/1.1\nHost: x\n\n",
        b"GET /x HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n\n",
        b"GET /x HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n\tA: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\n Host: x\r\n\r\n",
        b"\n" + GOOD,
        b"GET /x HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /x y HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"
        + b" " * 70_000,
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"\x16\x03\x01\x00\x00" + bytes(100),
    ],
    ids=lambda head: repr(head[:70])[2:-1],
)
def test_what_is_no_request_by_the_letter_is_refused_and_written_down(server: Served, head: bytes) -> None:
    said = server.said(head, GOOD)
    top, _, body = said.partition(b"\r\n\r\n")
    assert top.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), said
    assert json.loads(body)["error"]["code"] == "BadHttp"
    assert [one.code for one in server.refused] == ["bad-http"]


def test_what_is_read_otherwise_is_refused_behind_a_good_request_too(server: Served) -> None:
    said = server.said(GOOD + b"GET /x HTTP/1.1\r\nHost: x\nA: b\r\n\r\n" + GOOD)
    assert [one[:3] for one in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


def test_a_good_head_may_come_in_any_pieces(server: Served) -> None:
    with server.connected() as line:
        for end in (b"GET /good HTTP/1.1\r", b"\nHost: x\r\n\r", b"\n"):
            line.sendall(end)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        line.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\na\n\n\r b" + GOOD)
        said = line.recv(1 << 16)
        while said.count(b"HTTP/1.1 200") < 2:
            said += line.recv(1 << 16)
        assert b"a\n\n\r b" in said


@pytest.mark.parametrize("head", [b"", b"GET /x HTTP/1.1\r\nHost: x\r\nA: "])
def test_who_sends_a_head_byte_by_byte_is_let_go_all_the_same(
    server: Served, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 1.0)
    with server.connected() as line:
        line.sendall(head)
        line.settimeout(0.1)

        def is_let_go() -> bool:
            try:
                line.sendall(b"b")
                return not line.recv(1)
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_let_go, 15, "the end of the connection")


def test_who_takes_no_answers_is_let_go(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TAKING_SECONDS", 0.5)
    monkeypatch.setattr(listener, "HEAD_SECONDS", 60.0)
    big = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connected() as line:
        line.sendall(big * 2)
        assert line.recv(1)

        def is_let_go() -> bool:
            """Whoever is gone takes no more, whatever is still on its way from there."""
            try:
                line.sendall(b"G")
            except OSError:
                return True
            return False

        wait_until(is_let_go, 15, "the end of the connection")


def test_a_thousand_connections_of_one_address_leave_room_for_others(server: Served) -> None:
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(server.plain())
        refused: list[TurnedAway] = server.refused
        wait_until(lambda: len(refused) >= 300 - listener.EACH, 20, "refusals")
        with server.connected("127.0.0.2") as line:
            line.sendall(GOOD)
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        for _ in range(700):
            server.plain().close()
    assert {one.code for one in refused} == {"too-many-connections"}

    def is_served() -> bool:
        try:
            with server.connected() as line:
                line.sendall(GOOD)
                return line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    wait_until(is_served, 20, "room again for whoever filled it")


def test_all_together_have_so_much_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ALL", 3)
    monkeypatch.setattr(listener, "EACH", 2)
    refused: list[TurnedAway] = []
    with ExitStack() as held:
        entrance = held.enter_context(
            listener.Entrance(socket.create_server(("127.0.0.1", 0)), refused.append)
        )

        def comes(of: str) -> socket.socket | None:
            address = ("127.0.0.1", entrance.getsockname()[1])
            held.enter_context(socket.create_connection(address, timeout=10, source_address=(of, 0)))
            try:
                return held.enter_context(entrance.accept()[0])
            except ConnectionAbortedError:
                return None

        first = comes("127.0.0.1")
        assert first
        assert comes("127.0.0.1")
        assert not comes("127.0.0.1")
        assert comes("127.0.0.2")
        assert not comes("127.0.0.2")
        first.close()
        first.close()
        assert comes("127.0.0.2")
        assert not comes("127.0.0.1")
    assert len(refused) == 3
