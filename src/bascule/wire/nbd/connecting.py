"""Reach an NBD server and negotiate with it; ask what it has."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bascule.model.errors import BasculeError, Refused, Unavailable

from .address import Address
from .protocol.client_handshake import Wish, list_contexts, list_exports
from .protocol.dialogue import Dialogue, Steps
from .streams.plain import PlainStream, Stream, converse
from .streams.tls import TlsStream

T = TypeVar("T")

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect: certificates, the name to expect on the peer's, how long it may be silent.

    With ``tls`` the connection is encrypted or refused, never in the clear. For mutual
    TLS load a certificate of our own into the context.
    """

    tls: ssl.SSLContext | None = None
    server_name: str = ""
    timeout: float = TIMEOUT


BY_DEFAULT = Access()


def exports_of(address: Address | str, *, access: Access = BY_DEFAULT) -> list[str]:
    """Return the names of a server's exports."""
    return _ask(address, access, "", (), list_exports)


def contexts_of(
    address: Address | str,
    *,
    export: str | None = None,
    queries: Sequence[str] = (),
    access: Access = BY_DEFAULT,
) -> list[str]:
    """Return an export's meta contexts: all, or those that match a query, which may end with a colon."""
    return _ask(address, access, export, tuple(queries), list_contexts)


def _ask(
    address: Address | str,
    access: Access,
    export: str | None,
    queries: tuple[str, ...],
    talk: Callable[[Wish], Steps[list[str]]],
) -> list[str]:
    where, access = locate(address, access)
    wish = Wish(where.export if export is None else export, queries, access.tls is not None, str(where))
    names, stream = negotiate(open_socket(where, access.timeout), wish, access, talk)
    stream.close()
    return names


def locate(address: Address | str, access: Access) -> tuple[Address, Access]:
    """Return a parsed address, and what TLS needs to reach it."""
    where = Address.parse(address) if isinstance(address, str) else address
    if where.tls and access.tls is None:
        access = replace(access, tls=ssl.create_default_context())
    return where, replace(access, server_name=access.server_name or where.host or "localhost")


def open_socket(where: Address, timeout: float) -> socket.socket:
    """Connect, or raise Unavailable."""
    try:
        if not where.path:
            return socket.create_connection((where.host, where.port), timeout)
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(timeout)
            connected.connect(where.path)
        except OSError:
            connected.close()
            raise
        return connected
    except OSError as error:
        raise Unavailable(f"Nobody answers at {where}: {error}", cure="see that the server runs") from error


def negotiate(
    connected: socket.socket, wish: Wish, access: Access, talk: Callable[[Wish], Steps[T]]
) -> tuple[T, Stream]:
    """Run a handshake; return what was agreed and the stream to go on with, or close and raise."""
    deadline = time.monotonic() + access.timeout
    stream: Stream = PlainStream(connected, access.timeout)

    def upgrade(plain: Stream) -> Stream:
        context = access.tls or ssl.create_default_context()
        name = access.server_name or None
        return TlsStream(plain, context, server_side=False, name=name, deadline=deadline)

    with contextlib.ExitStack() as on_failure:
        on_failure.callback(stream.close)
        try:
            agreed = converse(Dialogue(talk(wish)), stream, upgrade, deadline)
        except ssl.SSLError as error:
            cure = "compare both sides' certificates"
            raise Refused(f"TLS with {wish.peer} failed: {error}", cure=cure) from error
        except OSError as error:
            raise lost(wish.peer, error) from error
        on_failure.pop_all()
        return agreed


def lost(peer: str, error: OSError) -> BasculeError:
    """Return what a connection's end means."""
    return Unavailable(f"The connection to {peer} is lost: {error}", cure="see that it runs, connect again")
