"""A vault's door on loopback, real TLS and all, with hosts that come to it."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bascule.apps import door
from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.pki.credentials import HostCredentials
from bascule.front.agents.door import Limits
from bascule.front.cli.door.behind import VaultDoor
from bascule.ports.vault.audit import Deed
from bascule.ports.vault.hosts import HostState, RegistrationKey
from bascule.ports.vault.news import Tell
from bascule.replication.uplink.joining import register
from bascule.replication.uplink.papers import Desk, Papers
from bascule.wire.control.invitation import Invitation, address_parts, door_name
from lab.waiting import wait_until

QUICK = Limits(wait_seconds=5.0, body_seconds=1.0, stranger_seconds=1.5, look_seconds=0.02)
SECRET = "0123456789abcdef"


class Shifted(SystemClock):
    """The real time, and so many seconds."""

    shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift


@dataclass
class House:
    """A vault whose door is open."""

    folder: Path
    limits: Limits = QUICK
    clock: Shifted = field(default_factory=Shifted)
    address: str = "127.0.0.1:0"
    tell: Tell = lambda _news: None

    def __post_init__(self) -> None:
        self.behind: VaultDoor
        self._keys = 0

    @contextmanager
    def open(self) -> Iterator[House]:
        """Open the door, where it was before if it was open once."""
        stop, ready = threading.Event(), threading.Event()

        def hear(address: str) -> None:
            self.address = address
            ready.set()

        with door.opened(self.folder, self.clock, SystemIds(), create=True) as behind:
            self.behind = replace(behind, tell=self.tell)
            words = (self.behind, self.address, self.clock, stop, hear, self.limits)
            thread = threading.Thread(target=door.run, args=words)
            thread.start()
            try:
                assert ready.wait(10)
                yield self
            finally:
                stop.set()
                thread.join()

    def invite(self, *, lasts: float = 1000.0, host: str = "", address: str = "") -> Invitation:
        self._keys += 1
        key, until = f"k{self._keys}", self.clock.now() + lasts
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        self.behind.hosts.add_key(RegistrationKey(key, digest, until, host))
        authority = self.behind.authority
        return Invitation(authority.vault, (address or self.address,), authority.text, key, SECRET, until)

    def join(self, provider: Path, invitation: Invitation | None = None) -> Papers:
        desk = Desk(provider)
        register(desk, invitation or self.invite(), HostCredentials(), SystemIds(), provider.name)
        papers = desk.papers()
        assert papers is not None
        return papers

    def host(self, host: str) -> HostState:
        (found,) = (one for one in self.behind.hosts.all() if one.id == host)
        return found

    def deeds(self, code: str) -> list[Deed]:
        """Return what was written down of a refusal; that may come a moment after the answer."""
        found: list[Deed] = []

        def look() -> bool:
            found[:] = [deed for deed in self.behind.audit.deeds(1000) if deed.code == code]
            return bool(found)

        wait_until(look, what=f"a line on {code}")
        return found

    @contextmanager
    def connected(self, papers: Papers | None = None) -> Iterator[ssl.SSLSocket]:
        """Shake hands with the door, as a host or as nobody."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.behind.authority.text)
        if papers is not None:
            context.load_cert_chain(papers.pem)
        plain = socket.create_connection(address_parts(self.address), 10)
        with context.wrap_socket(plain, server_hostname=door_name(self.behind.authority.vault)) as made:
            yield made


def post(what: str, length: int, body: bytes = b"") -> bytes:
    """Return a request that announces so many bytes."""
    return f"POST /v1/{what} HTTP/1.1\r\nHost: door\r\nContent-Length: {length}\r\n\r\n".encode() + body


def heard(line: ssl.SSLSocket) -> bytes:
    """Return all that comes until the other side hangs up."""
    found = b""
    with suppress(OSError):
        while piece := line.recv(65536):
            found += piece
    return found
