"""The API of a server: HTTPS with a certificate of the server's own authority, in a thread of its own."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn

from bascule.apps import door
from bascule.control.service.gate import Call, Gate
from bascule.control.service.people.doorkeeper import STRANGER, Doorkeeper
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
from bascule.front.api.errors import TurnedAway
from bascule.front.cli.vault.settings import ServerSettings
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.vault.access import Caller, Right
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.pki import ApiFiles, Authority
from bascule.wire.control.invitation import address_parts

from .listener import Entrance, config

log = structlog.get_logger("apps.vault")
FIRST = "first-principal.json"
_SERVER = Caller("the server", is_owner=True)
_RENEWAL_LOOK_SECONDS = 3600.0
_LOOK_SECONDS = 0.02
_REFUSALS_MAX = 10_000


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
        self._gate: Gate | None = None
        self._refused: deque[TurnedAway] = deque(maxlen=_REFUSALS_MAX)
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
            self._gate = service.gate
            desks = desks_of(service, kept, self._clock, ids)
            self.base = base_of(self.files.names[0], listening.getsockname()[1])
            self.first = self._keep_first(desks.identity)
            app = application(desks, ids)
            served = config(app, self.files.certificate, self.files.key, self._refused.append)
            with self._running(uvicorn.Server(served), Entrance(listening, self._refused.append)):
                yield

    def check(self) -> str:
        """Raise if it is not open any more; show the newest certificate, and write refusals down."""
        if self._server is None or self._thread is None or not self._thread.is_alive():
            raise Unavailable("the API ended by itself", cure="see the log, and report it")
        self._settle()
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
    def _running(self, server: uvicorn.Server, listening: Entrance) -> Iterator[None]:
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
            self._settle()

    def _settle(self) -> None:
        """Write down who was refused before a request of theirs was read."""
        while self._refused and self._gate is not None:
            self._gate.refused(Call(STRANGER, "connect", "", Right.READ), self._refused.popleft())

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
