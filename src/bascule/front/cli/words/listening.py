"""Where a server listens, and who may listen in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bascule.model.errors import Refused
from bascule.wire.nbd.address import Address

if TYPE_CHECKING:
    from bascule.wire.nbd.session import ServerTls


@contextmanager
def address_of(socket: Path | None, listen: str) -> Iterator[Address]:
    """Yield where to listen; a socket that nobody named lies in a folder of its own, gone afterwards."""
    if socket is not None and listen:
        raise Refused("both a socket and a port are named", cure="choose --socket or --listen")
    if listen:
        host, colon, port = listen.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):
            raise Refused(f"{listen!r} is no HOST:PORT", cure="write it like 127.0.0.1:10809 or [::1]:10809")
        yield Address(host.strip("[]"), int(port))
    elif socket is not None:
        yield Address(path=str(socket.absolute()))
    else:
        import tempfile  # which loads more than a server needs to start

        with tempfile.TemporaryDirectory(prefix="bascule-point-") as folder:
            yield Address(path=f"{folder}/nbd")


def tls_of(folder: Path | None, address: Address, *, plain: bool) -> ServerTls | None:
    """Return the server's certificates; without them only this machine is served, unless told ``plain``."""
    if folder is not None:
        return _certificates(folder)
    if address.path or plain or _is_of_this_machine(address.host):
        return None
    raise Refused(
        f"on {address.host} other machines could read the disks, and nothing is encrypted",
        cure="add --tls-certificates, or --plain if everybody on that network may",
    )


def _is_of_this_machine(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificates(folder: Path) -> ServerTls:
    import ssl

    from bascule.wire.nbd.session import ServerTls

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(folder / "server-cert.pem", folder / "server-key.pem")
        if (folder / "ca-cert.pem").exists():
            context.load_verify_locations(folder / "ca-cert.pem")
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"the certificates in {folder} cannot be used: {error}",
            cure="put server-cert.pem and server-key.pem there",
        ) from error
    return ServerTls(context)
