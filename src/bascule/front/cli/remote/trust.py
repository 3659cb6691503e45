"""Whom a server is known by: the system's authorities, or its own, whose fingerprint a person compared once.

A server shows the certificate of its authority after its own, and prints its fingerprint when it starts.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bascule.model.errors import Damaged, Refused, Unavailable

_SECONDS = 10.0
_USUAL_PORT = 9446


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows: is it known to the system, and who vouches for it."""

    is_known: bool
    authority: str = ""
    fingerprint: str = ""


def spelt(url: str) -> str:
    """Return where a server is, without what is usual and with a port; refuse what is no such address."""
    text = url if "://" in url else f"https://{url}"
    parts = urlsplit(text)
    try:
        port = parts.port or _USUAL_PORT
    except ValueError as error:
        raise Refused(f"{url} is no address of a server", cure="write https://HOST:PORT") from error
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.username
    ):
        raise Refused(f"{url} is no address of a server", cure="write https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"


def look(url: str) -> Shown:
    """Look at what a server shows. Nothing secret is said to it."""
    try:
        with _connected(url, ssl.create_default_context()):
            return Shown(is_known=True)
    except ssl.SSLCertVerificationError:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        with _connected(url, trusting) as line:
            chain = _chain(line)
    authority = ssl.DER_cert_to_PEM_cert(chain[-1])
    return Shown(False, authority, fingerprint(authority))


def fingerprint(authority: str) -> str:
    """Return what people compare certificates by, as OpenSSL spells it."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority)).digest().hex(":").upper()


def is_alike(one: str, other: str) -> bool:
    """Are two fingerprints the same, however they are spelt?"""
    plain = [text.casefold().removeprefix("sha256:").replace(":", "") for text in (one, other)]
    return plain[0] == plain[1] != ""


def changed(url: str) -> Refused:
    """Return the error of a server that is not vouched for by whom it was."""
    return Refused(
        f"{url} is not vouched for by the authority that was trusted when you signed in:"
        " its server was made anew, or somebody is in between",
        cure=f"compare the fingerprint that `bascule serve` prints there, then `bascule login {url}`",
        code="authority-changed",
    )


def context(authority: str) -> ssl.SSLContext:
    """Return what tells servers of an authority from others; without one, those that the system knows."""
    if not authority:
        return ssl.create_default_context()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        made.load_verify_locations(cadata=authority)
    except ssl.SSLError as error:
        raise Damaged("that is no certificate of an authority", cure="sign in again") from error
    return made


def check(url: str, authority: str) -> None:
    """Refuse a server that an authority does not vouch for, by the name that it is called by."""
    try:
        with _connected(url, context(authority)):
            return
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"{url} is not who its certificate is for: {error.verify_message}",
            cure="call it by a name that it has; `bascule serve --name` gives it more",
            code="wrong-name",
        ) from error


def _connected(url: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = None
    try:
        plain = socket.create_connection((host, parts.port or _USUAL_PORT), timeout=_SECONDS)
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise Unavailable(
            f"{url} does not answer: {error.strerror or error}",
            cure="see that `bascule serve` runs there, and that its address is this one",
        ) from error
    finally:
        if plain is not None and plain.fileno() != -1:
            plain.close()


def _chain(line: Any) -> list[bytes]:
    """Return what a server shows on a socket of TLS, its own certificate first."""
    if sys.version_info >= (3, 13):
        return list(line.get_unverified_chain())
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in line._sslobj.get_unverified_chain()]
