"""HTTP for this machine: pages on a loopback port, and the owner's calls on a socket in the server's folder.

Who may open the socket is the file system's to say: it is 0600, and the kernel tells who is at the other end.
The port answers anybody on this machine, and names no machine and no person.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any, TypeAlias

import structlog

from bascule.model.errors import BasculeError, Unavailable

from .desk import Answer, document

log = structlog.get_logger("front.local")
_SECONDS = 10.0
_AT_ONCE = 64
_BODY_MAX = 1 << 20
_PEER = struct.Struct("3i")

Get = Callable[[str], Answer]
Post = Callable[[str, bytes, int], Answer]
"""A path, a body, and the user at the other end of the socket."""

_Request: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"


class LocalServer(ThreadingHTTPServer):
    """Serves in threads of its own until it is closed."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, get: Get, post: Post | None = None) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.get = get
        self.post = post
        self._room = BoundedSemaphore(_AT_ONCE)
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def process_request(self, request: _Request, client_address: Any) -> None:
        """Answer in a thread, unless too many are at it."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: _Request, client_address: Any) -> None:
        """Answer, and let the next one in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, _request: object, _client_address: object) -> None:
        """A caller that hung up is nobody's trouble."""
        log.info("local.request_broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SECONDS
    protocol_version = "HTTP/1.1"
    server: LocalServer

    def do_GET(self) -> None:
        """Show a page."""
        self._answer(lambda: self.server.get(self.path))

    def do_POST(self) -> None:
        """Carry a call out."""
        post, length = self.server.post, self.headers.get("Content-Length", "")
        if post is None or not length.isdecimal() or int(length) > _BODY_MAX:
            self.close_connection = True
            self._answer(lambda: document({"error": {"code": "malformed"}}, HTTPStatus.BAD_REQUEST))
            return
        body = self.rfile.read(int(length))
        user = _PEER.unpack(self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        self._answer(lambda: post(self.path, body, user))

    def _answer(self, make: Callable[[], Answer]) -> None:
        try:
            answer = make()
        except BasculeError as error:
            said = {"code": error.code, "message": error.message, "cure": error.cure}
            answer = document({"error": said}, HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what matters is recorded by the gate."""


def named(path: Path) -> socket.socket:
    """Return a socket that listens under a name in the file system, for our own user only."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        # By the folder's descriptor: a socket's name may have 107 bytes, and a folder's path more.
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        made.listen()
    except OSError as error:
        made.close()
        raise Unavailable(
            f"cannot make {path}: {error.strerror or error}", cure="see that its disk has room"
        ) from error
    finally:
        os.umask(mask)
        os.close(folder)
    return made
