"""Who comes to the API: so many connections, heads by the letter, and all of it in bounded time.

The library reads lines that end in any way, and lines that go on in the next one. Whatever stands before us
may read those otherwise, and so take another request out of the same bytes: they are refused, before anything
of them is read.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from bascule.front.api.errors import TurnedAway, body_of

ALL, EACH = 512, 128
"""So many connections are held at once, of all together and of each address."""
HEAD_SECONDS, TAKING_SECONDS = 10.0, 60.0
_HEAD_MAX = 1 << 16
_STOP_SECONDS = 3
_HEAD_END = b"\r\n\r\n"
# A line that ends in a bare LF or CR, and one that goes on in the next.
_DOUBTFUL = re.compile(rb"(?<!\r)\n|\r[^\n]|\n[ \t]")

Refuse: TypeAlias = Callable[[TurnedAway], None]


def config(app: FastAPI, certificate: Path, key: Path, refuse: Refuse) -> uvicorn.Config:
    """Return how the API is served; ``refuse`` hears in its thread of who was, and returns at once."""
    return uvicorn.Config(
        app,
        http=_client_for(refuse),
        loop="asyncio",
        ws="none",
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,
        # Whatever a stranger can make it warn of is in the record of deeds, counted.
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _client_for(refuse: Refuse) -> type[asyncio.Protocol]:
    """Return what is made for each connection, which the server makes of a class and its own words."""

    class Client(_Client):
        def __init__(self, **usual: Any) -> None:
            super().__init__(refuse, **usual)

    return Client


class Entrance(socket.socket):
    """Listens, and lets so many in. Takes another listening socket over; use in one thread."""

    def __init__(self, listening: socket.socket, refuse: Refuse) -> None:
        super().__init__(listening.family, listening.type, listening.proto, listening.detach())
        self._refuse = refuse
        self._held: Counter[bytes | str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, or raise as if it had gone away: others have their turn before the next."""
        connection, address = super().accept()
        who = self._who(address[0])
        if self._held.total() >= ALL or self._held[who] >= EACH:
            connection.close()
            why = f"{address[0]} has {self._held[who]} connections, and all together {self._held.total()}"
            self._refuse(TurnedAway(why, cure="end some of them first", code="too-many-connections"))
            raise ConnectionAbortedError
        self._held[who] += 1
        return _Guest(connection, partial(self._left, who)), address

    def _who(self, address: str) -> bytes | str:
        """Return whose an address is: of the new kind everybody has a network of them."""
        if self.family is not socket.AF_INET6:
            return address
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]

    def _left(self, who: bytes | str) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]


class _Guest(socket.socket):
    """A connection that says when it is closed."""

    def __init__(self, taken: socket.socket, left: Callable[[], None]) -> None:
        super().__init__(taken.family, taken.type, taken.proto, taken.detach())
        self._left: Callable[[], None] | None = left

    def close(self) -> None:
        super().close()
        if self._left is not None:
            self._left()
            self._left = None


class _ByTheLetter(h11.Connection):
    """Reads heads of bounded length, whose lines end in CRLF and nothing else."""

    def next_event(self) -> Any:
        """Return what comes next; a head is looked at as far as it has come."""
        if self.their_state is h11.IDLE:
            data = self.trailing_data[0]
            end = data.find(_HEAD_END)
            if end > _HEAD_MAX or _DOUBTFUL.search(data, 0, len(data) if end < 0 else end + 2):
                raise h11.RemoteProtocolError("the head is too long, or a line of it ends otherwise")
        return super().next_event()


class _Client(H11Protocol):
    """Waits so long for the head of a request and until an answer is taken, and no longer.

    A few slow ones would keep all others out.
    """

    def __init__(self, refuse: Refuse, **usual: Any) -> None:
        super().__init__(**usual)
        self.conn = _ByTheLetter(h11.SERVER, _HEAD_MAX)
        self._refuse = refuse
        self._unfinished: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # of TCP or TLS, as our socket is
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._taken()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._forget()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.loop.call_later(TAKING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken()

    def send_400_response(self, msg: str) -> None:
        """Tell that it was no request, as Resource Manager does and if it can still be told; and end."""
        error = TurnedAway(
            msg.rstrip("."),
            cure=f"send HTTP/1.1, lines ended by CRLF, {_HEAD_MAX} bytes of head at most",
            code="bad-http",
        )
        self._refuse(error)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._tell(400, body_of(error))
        self.transport.close()

    def _tell(self, status: int, body: Mapping[str, object]) -> None:
        data = json.dumps(body, separators=(",", ":")).encode()
        headers = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", str(len(data))),
            ("Connection", "close"),
        ]
        events = (h11.Response(status_code=status, headers=headers), h11.Data(data), h11.EndOfMessage())
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))

    def _await_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._unfinished is None:
            self._unfinished = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _forget(self) -> None:
        if self._unfinished is not None:
            self._unfinished.cancel()
            self._unfinished = None

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None
