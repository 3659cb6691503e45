"""One connection to the vault's door, opened when it is needed.

Outward only, TLS 1.3, one question at a time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress

from bascule.model.errors import BasculeError, Unavailable
from bascule.wire.control import messages
from bascule.wire.control.invitation import address_parts, door_name

from .papers import Papers

CONNECT_SECONDS = 10.0


class Line:
    """Asks the door. One thread asks; any thread may hang up."""

    def __init__(self, *, as_guest: bool) -> None:
        self._as_guest = as_guest
        self._guard = threading.Lock()
        self._papers: Papers | None = None
        self._open: http.client.HTTPConnection | None = None
        self._turn = self._cuts = 0
        self._is_over = False

    def ask(self, papers: Papers, what: str, body: bytes, seconds: float = 30.0) -> bytes:
        """Return the door's answer, or raise what it said: Refused or Unavailable.

        What cannot be told from never having been asked is Unavailable, and may be asked again.
        """
        cuts = self._cuts
        if self._open is not None and self._papers == papers:
            try:
                return self._asked(papers, what, body, seconds)
            except Unavailable:
                # The other side may have hung up on an idle line: that is no reason to wait.
                if self._cuts != cuts:
                    raise
        self._close()
        return self._asked(papers, what, body, seconds)

    def hang_up(self, *, for_good: bool = False) -> None:
        """End the connection, and the question under way; ``for_good`` there will be no other."""
        with self._guard:
            self._cuts += 1
            self._is_over = self._is_over or for_good
        self._close()

    def _close(self) -> None:
        with self._guard:
            found, self._open = self._open, None
        if found is not None:
            if found.sock is not None:
                with suppress(OSError):
                    found.sock.shutdown(socket.SHUT_RDWR)
            found.close()

    def _asked(self, papers: Papers, what: str, body: bytes, seconds: float) -> bytes:
        address = papers.addresses[self._turn % len(papers.addresses)]
        is_fresh = False
        try:
            line = self._open
            if line is None:
                line, is_fresh = self._connected(papers, address), self._as_guest
            line.sock.settimeout(seconds)
            line.request("POST", f"/v1/{what}", body, {"Content-Type": "application/json"})
            answer = line.getresponse()
            data = answer.read(messages.GUEST_BYTES + 1)
        except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
            # AttributeError and ValueError are what http.client says when somebody hangs up in between.
            self._turn += 1
            self._close()
            raise _unreached(address, error, is_fresh=is_fresh) from error
        if answer.will_close:
            self._close()
        if answer.status != 200:
            raise _said(data, address)
        return data

    def _connected(self, papers: Papers, address: str) -> http.client.HTTPConnection:
        if self._is_over:
            raise ConnectionAbortedError("this side is stopping")
        host, port = address_parts(address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=papers.authority)
        if self._as_guest:
            context.load_cert_chain(papers.pem)
        made = http.client.HTTPConnection(host, port)
        plain = socket.create_connection((host, port), CONNECT_SECONDS)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.sock = context.wrap_socket(plain, server_hostname=door_name(papers.vault))
        except OSError:
            plain.close()
            raise
        with self._guard:
            if self._is_over:
                made.close()
                raise ConnectionAbortedError("this side is stopping")
            self._open, self._papers = made, papers
        return made


def _unreached(address: str, error: Exception, *, is_fresh: bool) -> Unavailable:
    """Describe why there was no answer.

    By TLS 1.3 a host does not learn whether its certificate was taken before it asks: then it is hung up on.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"who answers at {address} is not the vault: {error.verify_message}",
            cure="see that the address is right, and this host's clock",
            code="not-the-vault",
        )
    if is_fresh and isinstance(error, ConnectionError | ssl.SSLError):
        return Unavailable(
            f"the vault at {address} hung up: it may not take this host's certificate",
            cure="it is renewed by itself; see that the clocks of both are right",
            code="hung-up",
        )
    return Unavailable(
        f"the vault at {address} does not answer: {error}", cure="see that it runs, and the network"
    )


def _said(data: bytes, address: str) -> BasculeError:
    try:
        return messages.error_from(data)
    except BasculeError:
        return Unavailable(f"what answers at {address} is no vault's door", code="not-the-vault")
