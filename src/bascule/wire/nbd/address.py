"""Where an NBD export is: ``nbd://host:port/export``, ``nbds://`` for TLS, ``nbd+unix:///export?socket=/path``.

The form is the public one: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from bascule.model.errors import Refused

from .protocol.constants import DEFAULT_PORT

_FORMS = "write nbd://host[:port][/export], nbds://…, or nbd+unix:///[export]?socket=/path"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP port or a Unix socket (``path``), the export there, and whether TLS is a must."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    export: str = ""
    tls: bool = False

    @staticmethod
    def parse(uri: str) -> Address:
        """Read a URI, or raise Refused."""
        try:
            parts = urlsplit(uri)
            port = parts.port if parts.port is not None else DEFAULT_PORT
        except ValueError as error:
            raise Refused(f"{uri!r} is no NBD address: {error}", cure=_FORMS) from error
        scheme, _, transport = parts.scheme.partition("+")
        if scheme not in ("nbd", "nbds") or transport not in ("", "tcp", "unix") or parts.fragment:
            raise Refused(f"{uri!r} is no NBD address", cure=_FORMS)
        export = unquote(parts.path.removeprefix("/"))
        sockets = parse_qs(parts.query).get("socket", [])
        if transport == "unix":
            if len(sockets) != 1 or not sockets[0] or parts.netloc:
                raise Refused(f"{uri!r} names no Unix socket", cure=_FORMS)
            return Address(path=sockets[0], export=export, tls=scheme == "nbds")
        if sockets or not parts.hostname:
            raise Refused(f"{uri!r} names no host", cure=_FORMS)
        return Address(parts.hostname, port, "", export, scheme == "nbds")

    def __str__(self) -> str:
        scheme = "nbds" if self.tls else "nbd"
        export = quote(self.export, safe="")
        if self.path:
            return f"{scheme}+unix:///{export}?socket={quote(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        return f"{scheme}://{host}{port}/{export}"
