"""The API of a server: HTTPS with a certificate of the server's own authority, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from bascule.apps import door
from bascule.control.service.people.doorkeeper import Doorkeeper
from bascule.control.service.people.identity import IdentityDesk, Made
from bascule.control.service.people.users import UserDesk
from bascule.control.service.service import Service
from bascule.drivers.hosts.devices import SqlDevices
from bascule.drivers.hosts.principals import SqlPrincipals
from bascule.drivers.hosts.tables import Database
from bascule.drivers.pki.authority import write
from bascule.drivers.pki.owners import brought
from bascule.front.api.app import application
from bascule.front.api.asking import Desks
from bascule.front.cli.vault.settings import ServerSettings
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.vault.access import Caller
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.pki import ApiFiles, Authority
from bascule.wire.control.invitation import address_parts

log = structlog.get_logger("apps.vault")
FIRST = "first-principal.json"
_SERVER = Caller("the server", is_owner=True)
_CONNECTIONS = 512
_HEAD_SECONDS = 10.0
_RENEWAL_LOOK_SECONDS = 3600.0
_LOOK_SECONDS = 0.02
_STOP_SECONDS = 3


class ApiDoor:
    """Opened once; whoever looks after it asks ``check`` now and then.

    ``base`` is where it is, ``files`` what it shows, ``first`` the file with the secret of a first principal
    that was made now.
    """

    def __init__(self, settings: ServerSettings, authority: Authority, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._authority = authority
        self.files = shown(settings, authority, clock)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._renewed_at = clock.monotonic()
        self.base = ""
        self.first: Path | None = None

    @contextmanager
    def open(self, service: Service, ids: Ids) -> Iterator[None]:
        """Answer until the end of the block, which waits a little for what is under way."""
        # Opened once more, for who signs in waits for no host that reports.
        kept = door.registry(self._settings.folder, self._settings.postgres)
        with (
            closing(kept),
            door.listening(self._settings.api, "--api") as listening,
        ):
            desks = desks_of(service, kept, self._clock, ids)
            self.base = base_of(self.files.names[0], listening.getsockname()[1])
            self.first = self._keep_first(desks.identity)
            server = uvicorn.Server(self._config(application(desks, ids)))
            with self._running(server, listening):
                yield

    def check(self) -> str:
        """Raise if it is not open any more, and show the newest certificate."""
        if self._server is None or self._thread is None or not self._thread.is_alive():
            raise Unavailable("the API ended by itself", cure="see the log, and report it")
        now = self._clock.monotonic()
        if now - self._renewed_at > _RENEWAL_LOOK_SECONDS and self._server.config.ssl is not None:
            self._renewed_at = now
            self._show_newest(self._server.config.ssl)
        return f"clients come in at {self.base}"

    def _show_newest(self, context: ssl.SSLContext) -> None:
        """Show the newest certificate; what cannot be shown leaves the one before in its place."""
        try:
            found = shown(self._settings, self._authority, self._clock)
            context.load_cert_chain(found.certificate, found.key)
            self.files = found
        except (BasculeError, OSError) as error:  # it may be half written: in an hour it is looked at again
            log.warning("vault.certificate_kept", reason=str(error))

    def vouched(self) -> str:
        """Raise if what it shows has expired."""
        until = f"{datetime.fromtimestamp(self.files.expires_at, UTC):%Y-%m-%d}"
        if self.files.expires_at <= self._clock.now():
            cure = f"renew {self.files.certificate}, and start the server again"
            raise Unavailable(f"the API's certificate has expired on {until}", cure=cure)
        return f"holds until {until}"

    @contextmanager
    def _running(self, server: uvicorn.Server, listening: socket.socket) -> Iterator[None]:
        self._server = server
        self._thread = thread = threading.Thread(target=server.run, args=([listening],), name="api")
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(_LOOK_SECONDS)
            self.check()
            yield
        finally:
            server.should_exit = True
            thread.join()

    def _config(self, app: FastAPI) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=_Patient,
            loop="asyncio",
            ws="none",
            lifespan="off",
            ssl_certfile=self.files.certificate,
            ssl_keyfile=self.files.key,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )

    def _keep_first(self, identity: IdentityDesk) -> Path | None:
        """Make the first principal if there is none; its secret goes into a file for our own user only."""
        folder = self._settings.folder
        path = folder / FIRST

        def keep(made: Made) -> None:
            said = {
                **{"url": self.base, "authority": str(self.files.trust or "")},
                **{"tenant": identity.server, "subscription": identity.server},
                **{"client_id": made.principal.id, "client_secret": made.secret},
            }
            write(path, json.dumps(said, indent=1).encode() + b"\n", mode=0o600)

        return path if identity.first(_SERVER, "owner", keep) else None


class _Patient(H11Protocol):
    """Waits so long for the head of a request, and no longer: a few slow ones would keep all others out."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed by its base
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._forget()

    def _wait(self) -> None:
        is_asked = self.cycle is not None and not self.cycle.response_complete
        if is_asked:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(_HEAD_SECONDS, self._let_go)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _let_go(self) -> None:
        self.transport.abort()


def desks_of(service: Service, kept: Database, clock: Clock, ids: Ids) -> Desks:
    """Return all that stands behind the API, with programs and people that are kept in a database."""
    gate, principals = service.gate, SqlPrincipals(kept, ids)
    keeper = Doorkeeper(gate, principals, clock, ids)
    identity = IdentityDesk(gate, principals, keeper, clock, ids)
    return Desks(service, identity, UserDesk(gate, principals, SqlDevices(kept), keeper, clock, ids))


def shown(settings: ServerSettings, authority: Authority, clock: Clock) -> ApiFiles:
    """Return what the API shows: what its owner brought, or what its own authority made for its names."""
    names = names_of(settings.api, settings.names)
    if settings.certificate is None or settings.key is None:
        return authority.api(names)
    files = brought(settings.certificate, settings.key, clock)
    return replace(files, names=(*files.names, *names))


def names_of(address: str, more: tuple[str, ...]) -> tuple[str, ...]:
    """Return what clients may call the API by that listens at an address."""
    host, _ = address_parts(address)
    own = () if host in ("0.0.0.0", "::") else (host,)
    return tuple(dict.fromkeys((*own, *more, socket.gethostname(), "localhost", "127.0.0.1", "::1")))


def base_of(name: str, port: int) -> str:
    """Return where the API is, by a name or an address."""
    return f"https://[{name}]:{port}" if ":" in name else f"https://{name}:{port}"
