"""The local port answers what it is asked, bounded, and goes on whatever callers do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from bascule.front.local.desk import Answer, Pages, document, page
from bascule.front.local.listener import LocalServer, named
from bascule.model.errors import Unavailable
from bascule.model.vault.signs.check import checked


def away() -> str:
    raise Unavailable("the database is away", cure="start it")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    pages = Pages(lambda: (checked("catalog", away), checked("door", lambda: "open")), lambda: ())

    def posted(path: str, body: bytes, user: int) -> Answer:
        return document({"path": path, "body": body.decode(), "user": user})

    made = LocalServer(named(tmp_path / "a.sock"), lambda path: page(pages, path), posted)
    made.start()
    yield made
    made.close()


def asked(tmp_path: Path, request: bytes) -> str:
    found = b""
    with socket.socket(socket.AF_UNIX) as line, suppress(ConnectionError):
        line.settimeout(10)
        line.connect(str(tmp_path / "a.sock"))
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        while piece := line.recv(65536):
            found += piece
    return found.decode()


def test_what_is_not_well_is_said_with_its_cure(server: LocalServer, tmp_path: Path) -> None:
    said = asked(tmp_path, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said.startswith(f"HTTP/1.1 {HTTPStatus.SERVICE_UNAVAILABLE.value}")
    assert '"message": "the database is away", "cure": "start it"' in said
    assert '"what": "door", "is_met": true' in said


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01",
        b"",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_answered(
    server: LocalServer, tmp_path: Path, request_: bytes
) -> None:
    assert " 200 " not in asked(tmp_path, request_)
    said = asked(tmp_path, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    assert '"path": "/v1/x", "body": "hi"' in said


def test_callers_who_say_nothing_are_so_many_at_most_and_keep_nobody_out_for_ever(
    server: LocalServer, tmp_path: Path
) -> None:
    with ExitStack() as lines:
        for _ in range(64):
            line = lines.enter_context(socket.socket(socket.AF_UNIX))
            line.connect(str(tmp_path / "a.sock"))
        assert asked(tmp_path, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == ""
    said = ""
    while not said:
        said = asked(tmp_path, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.startswith("HTTP/1.1 200")
