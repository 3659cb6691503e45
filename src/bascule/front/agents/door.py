"""The door itself: TLS that asks for a certificate of this vault's, and four things to say.

    POST /v1/register   no certificate needed, a registration key is
    POST /v1/renew      no certificate needed, a proof of the last one's key is
    POST /v1/commands   results in, commands out; the answer waits for commands as long as ``wait_seconds``
    POST /v1/facts      what has changed on a host

A certificate that was not issued by this vault's authority, or has expired, ends the handshake; who comes
without one has ten seconds and 16 KiB. Everything is bounded: connections, of one host too, header and body
bytes, the time that a body may take, handshakes under way.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from aiohttp import web

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.vault.pki import Certificate
from bascule.wire.control import messages
from bascule.wire.control.messages import GUEST_BYTES, STRANGER_BYTES

from .answers import Answers
from .refusals import Refusals

log = structlog.get_logger(__name__)
T = TypeVar("T")

_CONNECTIONS_EACH = 4
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the door waits, and for how many."""

    wait_seconds: float = 50.0
    body_seconds: float = 20.0
    stranger_seconds: float = 10.0
    handshake_seconds: float = 10.0
    look_seconds: float = 0.5
    connections: int = 4096


class Door:
    """Requests of hosts, answered. Lives in one event loop; what may wait for a disk runs in threads."""

    def __init__(self, answers: Answers, clock: Clock, limits: Limits) -> None:
        self._answers = answers
        self._limits = limits
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="door")
        self._bells: dict[str, set[asyncio.Event]] = {}
        self._guests: dict[str, OrderedDict[asyncio.Transport, None]] = {}
        self._refusals = Refusals(self._note, clock)
        self._is_over = False

    def app(self) -> web.Application:
        """Return the application; each request is answered, or refused and written down."""
        app = web.Application(client_max_size=GUEST_BYTES)
        app.router.add_post("/v1/register", self._stranger("register", self._answers.register))
        app.router.add_post("/v1/renew", self._stranger("renew", self._answers.renew))
        app.router.add_post("/v1/commands", self._guarded("commands", self._commands))
        app.router.add_post("/v1/facts", self._guarded("facts", self._facts))
        return app

    def release(self) -> None:
        """Let everybody who waits go."""
        self._is_over = True
        for bells in self._bells.values():
            for bell in bells:
                bell.set()

    def close(self) -> None:
        """Wait for what is being written. Afterwards nobody may ask any more."""
        self._pool.shutdown()

    def dismiss(self, transport: asyncio.Transport) -> None:
        """End a connection, unless it is a guest's."""
        if not any(transport in mine for mine in self._guests.values()):
            transport.abort()

    def refuse(self, who: str, what: str, code: str, detail: str = "") -> None:
        """Write down that somebody was refused."""
        self._refusals.add(who, what, "", code, detail)

    async def watch(self) -> None:
        """Ring for hosts as commands for them appear, whoever gave them."""
        while True:
            await asyncio.sleep(self._limits.look_seconds)
            if not self._bells:
                continue
            try:
                hosts = await self._in_thread(self._answers.waited_for)
            except BasculeError as error:
                log.warning("agents.watch_failed", reason=error.message)
                continue
            for host in hosts & self._bells.keys():
                for bell in self._bells[host]:
                    bell.set()

    def _stranger(self, what: str, answer: Callable[[bytes, str], bytes]) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            body = await self._body(request, STRANGER_BYTES)
            return _json(await self._in_thread(partial(answer, body, request.remote or "?")))

        return self._guarded(what, handle)

    async def _commands(self, request: web.Request) -> web.Response:
        guest = await self._guest(request)
        asked = messages.exchange_from(await self._body(request, GUEST_BYTES))
        bell = asyncio.Event()
        self._bells.setdefault(guest.host, set()).add(bell)
        try:
            return _json(await self._waited(asked, guest, bell))
        finally:
            self._bells[guest.host].discard(bell)
            if not self._bells[guest.host]:
                del self._bells[guest.host]

    async def _waited(self, asked: messages.Exchange, guest: Certificate, bell: asyncio.Event) -> bytes:
        """Look, and look again when the bell rings; who was revoked meanwhile gets nothing any more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.wait_seconds
        commands = await self._in_thread(partial(self._answers.commands, asked, guest))
        while not (commands or asked.results or self._is_over) and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait_for(bell.wait(), left)
            except TimeoutError:
                break
            bell.clear()
            await self._in_thread(partial(self._answers.check, guest))
            commands = await self._in_thread(partial(self._answers.commands, asked, guest))
            if not commands:
                await asyncio.sleep(self._limits.look_seconds)
        return messages.commands_written(commands)

    async def _facts(self, request: web.Request) -> web.Response:
        guest = await self._guest(request)
        body = await self._body(request, GUEST_BYTES)
        return _json(await self._in_thread(partial(self._answers.report, body, guest)))

    async def _guest(self, request: web.Request) -> Certificate:
        """Return who asks. One host has a few connections: of more, the oldest is one that was cut."""
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls else None
        if not certificate:
            raise Refused("no certificate was shown", cure="register first", code="no-certificate")
        guest: Certificate = await self._in_thread(partial(self._answers.guest, certificate))
        if isinstance(request.transport, asyncio.Transport):
            self._seat(guest.host, request.transport)
        return guest

    def _who(self, request: web.Request) -> str:
        """Return the address, and what its certificate says it is: checked by TLS, perhaps revoked."""
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls else None
        return (
            f"{request.remote} as {self._answers.name_of(certificate)}"
            if certificate
            else str(request.remote)
        )

    def _seat(self, host: str, transport: asyncio.Transport) -> None:
        mine = self._guests.setdefault(host, OrderedDict())
        for gone in [one for one in mine if one.is_closing()]:
            del mine[gone]
        mine[transport] = None
        while len(mine) > _CONNECTIONS_EACH:
            mine.popitem(last=False)[0].abort()

    async def _body(self, request: web.Request, limit: int) -> bytes:
        """Return what was sent, unless it is too much or takes too long."""
        found = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while chunk := await request.content.readany():
                    found += chunk
                    if len(found) > limit:
                        raise Refused(f"the message has more than {limit} bytes", code="too-large")
        except TimeoutError as error:
            raise Refused(
                f"the message took longer than {self._limits.body_seconds:g} s", code="too-slow"
            ) from error
        return bytes(found)

    def _guarded(self, what: str, handle: _Handler) -> _Handler:
        async def handled(request: web.Request) -> web.Response:
            try:
                return await handle(request)
            except BasculeError as error:
                if isinstance(error, Refused):
                    self.refuse(self._who(request), what, error.code, error.message)
                answer = _json(messages.error_written(error), _status(error))
                if not request.content.is_eof():
                    answer.force_close()
                return answer

        return handled

    def _note(self, who: str, what: str, subject: str, code: str, detail: str) -> None:
        self._pool.submit(partial(self._answers.note, who, what, subject, code=code, detail=detail))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)


_Handler = Callable[[web.Request], Awaitable[web.Response]]

_FORBIDDEN = {
    "no-certificate",
    "revoked",
    "superseded",
    "foreign-certificate",
    "another-host",
    "unknown-host",
}


def _status(error: BasculeError) -> int:
    if isinstance(error, Unavailable):
        return 503
    if error.code in _FORBIDDEN:
        return 403
    if error.code == "too-large":
        return 413
    return 500 if isinstance(error, Damaged) else 404 if isinstance(error, Missing) else 400


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
