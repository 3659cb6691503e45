"""Accepts connections itself: so a handshake that fails is seen, and nobody holds a place for nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog
from aiohttp import web

from bascule.model.errors import BasculeError
from bascule.ports.vault.pki import DoorFiles

from .door import Door, Limits

log = structlog.get_logger(__name__)

_RENEWAL_LOOK_SECONDS = 3600.0
_FAILED_ACCEPT_SECONDS = 1.0


async def serve(
    door: Door, sock: socket.socket, files: Callable[[], DoorFiles], limits: Limits, stop: asyncio.Event
) -> None:
    """Serve hosts at a listening socket until ``stop``; the socket is closed then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    found = files()
    context.load_verify_locations(found.authority)
    context.load_cert_chain(found.certificate, found.key)
    # Tickets would let a certificate in after it has expired.
    context.num_tickets = 0
    runner = web.AppRunner(
        door.app(), access_log=None, keepalive_timeout=75.0, lingering_time=2.0, handler_cancellation=True
    )
    await runner.setup()
    listener = _Listener(door, runner, context, limits)
    tasks: list[asyncio.Task[None]] = [
        asyncio.create_task(listener.accept(sock)),
        asyncio.create_task(door.watch()),
        asyncio.create_task(_renewed(context, files)),
    ]
    stopped = asyncio.create_task(_stopped(stop))
    try:
        # None of them ends by itself, but by an error that nobody foresaw: that is to be seen.
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in [stopped, *tasks, *listener.greeting]:
            task.cancel()
        door.release()
        await runner.cleanup()
        sock.close()


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


async def _renewed(context: ssl.SSLContext, files: Callable[[], DoorFiles]) -> None:
    """Show the door's newest certificate to whoever comes from now on."""
    while True:
        await asyncio.sleep(_RENEWAL_LOOK_SECONDS)
        try:
            found = await asyncio.to_thread(files)
            context.load_cert_chain(found.certificate, found.key)
        except BasculeError as error:
            log.warning("agents.door_not_renewed", reason=error.message)


class _Listener:
    def __init__(self, door: Door, runner: web.AppRunner, context: ssl.SSLContext, limits: Limits) -> None:
        self._door = door
        self._runner = runner
        self._context = context
        self._limits = limits
        self.greeting: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Transport] = set()

    async def accept(self, sock: socket.socket) -> None:
        """Accept connections for ever."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        while True:
            try:
                connection, address = await loop.sock_accept(sock)
            except OSError as error:  # too many files: those who are there go on
                log.warning("agents.accept_failed", reason=str(error))
                await asyncio.sleep(_FAILED_ACCEPT_SECONDS)
                continue
            server = self._runner.server
            assert server is not None, "it was set up before anything was accepted"
            if self._is_full():
                connection.close()
                self._door.refuse(str(address[0]), "connect", "too-many-connections")
                continue
            task = asyncio.create_task(self._greet(connection, server, str(address[0])))
            self.greeting.add(task)
            task.add_done_callback(self.greeting.discard)

    def _is_full(self) -> bool:
        if len(self.greeting) + len(self._held) >= self._limits.connections:
            self._held = {one for one in self._held if not one.is_closing()}
        return len(self.greeting) + len(self._held) >= self._limits.connections

    async def _greet(self, connection: socket.socket, server: web.Server, address: str) -> None:
        """Shake hands; who has not become a guest soon afterwards has to leave."""
        loop = asyncio.get_running_loop()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            transport, _ = await loop.connect_accepted_socket(
                server, connection, ssl=self._context, ssl_handshake_timeout=self._limits.handshake_seconds
            )
        except OSError as error:
            connection.close()
            self._door.refuse(address, "connect", "handshake", str(error))
            return
        # Of the two it is counted in one, at any moment.
        self._held.add(transport)
        if (greeting := asyncio.current_task()) is not None:
            self.greeting.discard(greeting)
        loop.call_later(self._limits.stranger_seconds, self._door.dismiss, transport)
