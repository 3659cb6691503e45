"""The vault's door as a process: ``bascule door run``. A server with a whole vault opens it the same way."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bascule.drivers.hosts.audit import SqlAudit
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.postings import SqlPostings
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.hosts.tables import Database
from bascule.drivers.pki.authority import FolderAuthority
from bascule.front.agents.answers import Answers
from bascule.front.agents.door import Door, Limits
from bascule.front.agents.listener import serve
from bascule.front.cli.door.behind import VaultDoor
from bascule.model.errors import Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.wire.control.invitation import address_parts

_BACKLOG = 512
_USUAL = Limits()


@contextmanager
def opened(folder: Path, clock: Clock, ids: Ids, *, create: bool, postgres: str = "") -> Iterator[VaultDoor]:
    """Open what stands behind the door: authority, hosts, the record of deeds.

    The last two are in the folder, or in a PostgreSQL that several servers share (``registry``).
    """
    pki = folder / "pki"
    authority = FolderAuthority.make(pki, clock, ids) if create else FolderAuthority(pki, clock, ids)
    with closing(registry(folder, postgres)) as database:
        hosts = SqlHosts(database)
        hosts.trust(authority.text)
        yield VaultDoor(authority, hosts, SqlAudit(database), SqlPostings(database))


def registry(folder: Path, postgres: str = "") -> Database:
    """Open where hosts and principals are: in the folder, or in a PostgreSQL that several servers share."""
    if not postgres:
        return SqliteDatabase(folder / "hosts.sqlite")
    from bascule.drivers.hosts.postgres import PostgresDatabase

    return PostgresDatabase(postgres)


def listening(address: str, option: str = "--listen") -> socket.socket:
    """Return a socket that listens at an address."""
    host, port = address_parts(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"cannot listen at {address}: {error.strerror or error}", cure=f"name a free address: {option}"
        ) from error


def run(
    behind: VaultDoor,
    address: str,
    clock: Clock,
    stop: threading.Event,
    ready: Callable[[str], None],
    limits: Limits = _USUAL,
) -> None:
    """Keep the door open until ``stop``; ``ready`` hears at which address."""
    answers = Answers(behind.authority, behind.hosts, behind.audit, clock, behind.tell)
    door = Door(answers, clock, limits)
    behind.authority.door()
    sock = listening(address)
    try:
        host, port = sock.getsockname()[:2]
        ready(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        asyncio.run(_until(door, sock, behind, limits, stop))
    finally:
        sock.close()
        door.close()


async def _until(
    door: Door, sock: socket.socket, behind: VaultDoor, limits: Limits, stop: threading.Event
) -> None:
    over = asyncio.Event()
    looking = asyncio.create_task(_look(stop, over))
    try:
        await serve(door, sock, behind.authority.door, limits, over)
    finally:
        looking.cancel()


async def _look(stop: threading.Event, over: asyncio.Event) -> None:
    """Signals set an event of threads: look at it now and then."""
    while not stop.is_set():
        await asyncio.sleep(0.2)
    over.set()
