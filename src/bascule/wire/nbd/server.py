"""Serve disks over NBD. Every client is a thread of its own; none can harm another.

A connection that breaks the protocol, stalls or comes when there are too many is
closed, and ``report`` is told why. The exports are the caller's, before and after.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bascule.model.errors import BasculeError, Refused, Unavailable

from .address import Address
from .crew import Hands
from .export import Export
from .session import USUAL, Limits, ServerTls, Session
from .streams.plain import PlainStream


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection that is over; ``error`` is empty when it was the client's wish."""

    peer: str
    export: str
    error: str


class Server:
    """Listens on a TCP port or a Unix socket. ``start`` it, and ``stop`` it."""

    def __init__(
        self,
        exports: Mapping[str, Export],
        address: Address,
        *,
        tls: ServerTls | None = None,
        limits: Limits = USUAL,
        report: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        self._exports = exports
        self._address = address
        self._tls = tls
        self._limits = limits
        self._hands = Hands()
        self._report = report
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._lock = threading.Lock()
        self._sessions: dict[Session, threading.Thread] = {}
        self._stopping = threading.Event()

    @property
    def address(self) -> Address:
        """Return where the server listens; a port 0 asked for is replaced by the real one."""
        return self._address

    def start(self) -> None:
        """Listen, and serve in threads. Unavailable when the address is taken."""
        try:
            self._listener = _listen(self._address)
        except OSError as error:
            cure = "choose another address"
            raise Unavailable(f"Cannot listen on {self._address}: {error}", cure=cure) from error
        if not self._address.path:
            self._address = replace(self._address, port=self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, name="nbd-accept", daemon=True)
        self._accepting.start()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Take no more clients, finish what those here have asked for, close. Safe to call twice."""
        self._stopping.set()
        if self._listener is None or self._accepting is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        if self._address.path:
            Path(self._address.path).unlink(missing_ok=True)
        self._end_sessions(Session.stop, grace_seconds)
        self._end_sessions(Session.abort, grace_seconds)
        self._listener = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end_sessions(self, end: Callable[[Session], None], seconds: float) -> None:
        with self._lock:
            running = list(self._sessions.items())
        for session, _ in running:
            end(session)
        deadline = time.monotonic() + seconds
        for _, thread in running:
            thread.join(max(deadline - time.monotonic(), 0))

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopping.is_set():
            try:
                connected, peer = listener.accept()
            except OSError:
                # Out of descriptors, or a client that gave up: neither is a reason to stop serving.
                self._stopping.wait(0.05)
                continue
            self._welcome(connected, _name_of(peer, self._address))

    def _welcome(self, connected: socket.socket, peer: str) -> None:
        with self._lock:
            full = len(self._sessions) >= self._limits.connections
        if full:
            connected.close()
            self._report(Ended(peer, "", "there are too many connections"))
            return
        try:
            stream = PlainStream(connected, self._limits.handshake_seconds)
        except OSError as error:
            connected.close()
            self._report(Ended(peer, "", str(error)))
            return
        session = Session(stream, self._exports, self._tls, self._limits, self._hands)
        thread = threading.Thread(target=self._serve, args=(session, peer), name="nbd-client", daemon=True)
        with self._lock:
            self._sessions[session] = thread
        thread.start()

    def _serve(self, session: Session, peer: str) -> None:
        why = "an unforeseen error"
        try:
            session.run()
            why = ""
        except (BasculeError, OSError) as error:
            why = str(error)
        finally:
            with self._lock:
                del self._sessions[session]
            self._report(Ended(peer, session.export, why))


def _listen(address: Address) -> socket.socket:
    if not address.path:
        found = socket.getaddrinfo(address.host or "localhost", address.port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=128)
    owner = _remove_stale(address.path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address.path)
        # Nobody can connect before listen, so mode and owner are in force for the first client.
        Path(address.path).chmod(0o600)
        if owner != os.geteuid():
            os.chown(address.path, owner, -1)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> int:
    """Remove the socket of a server that died; raise Refused if one lives, or if it is another file.

    Returns who is to own the next one. The dead one may have been given to somebody who still tries to
    reach it, such as the QEMU of a machine whose disk it is. In a folder where others make files nothing of
    it is believed.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return os.geteuid()
    if not stat.S_ISSOCK(found.st_mode):
        raise Refused(f"{path} is no socket", cure="choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return found.st_uid if _is_ours_alone(Path(path).parent) else os.geteuid()
    raise Refused(f"Another server listens on {path}", cure="choose another path")


def _is_ours_alone(folder: Path) -> bool:
    found = folder.stat()
    return not os.geteuid() and found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _name_of(peer: object, address: Address) -> str:
    if isinstance(peer, tuple):
        return f"{peer[0]}:{peer[1]}"
    return f"a client of {address.path}"
