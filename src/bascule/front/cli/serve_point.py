"""``bascule serve-point``: a recovery point as disks at once, over NBD. ``serving`` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .serving import Order, serve
from .words.options import Json, KeyFilePath, Limit, NoPin, OneMachine, PassphrasePath, Point, Store, tools_of

Socket = Annotated[
    Path | None,
    typer.Option(
        "--socket", metavar="PATH", help="Serve on this Unix socket. [a new one]", show_default=False
    ),
]
Listen = Annotated[
    str,
    typer.Option("--listen", metavar="HOST:PORT", help="Serve on a TCP port instead.", show_default=False),
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificates",
        metavar="FOLDER",
        help="server-cert.pem and server-key.pem, and ca-cert.pem if clients must show theirs.",
        show_default=False,
    ),
]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Serve a network without TLS: whoever reaches the port reads the disk."),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Where writes and hydrated disks are kept, over restarts.",
        show_default=False,
    ),
]
Writable = Annotated[
    bool,
    typer.Option("--writable", help="Take writes, into an overlay in --folder; the point stays as it is."),
]
Hydrate = Annotated[
    bool,
    typer.Option(
        "--hydrate",
        help="Copy the disks into --folder meanwhile (see --limit), until the store is not needed.",
    ),
]
GuestReset = Annotated[
    bool, typer.Option("--guest-was-reset", help="The guest was reset since the folder was last served.")
]
Discard = Annotated[
    bool, typer.Option("--discard", help="Serve nothing: throw --folder away, and let go of its point.")
]


def serve_point(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    machine: OneMachine = "",
    socket: Socket = None,
    listen: Listen = "",
    tls_certificates: Certificates = None,
    plain: Plain = False,
    folder: Folder = None,
    writable: Writable = False,
    hydrate: Hydrate = False,
    limit: Limit = "",
    guest_was_reset: GuestReset = False,
    discard: Discard = False,
    no_pin: NoPin = False,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Serve the disks of a point at once, over NBD, until Ctrl-C.

    They are those of one machine, each an NBD export with the disk's id for a name; addresses are printed
    when they are ready.
    Without --folder the disks are read-only. One folder belongs to one machine at one point: serve it again
    with the same words and it goes on where it was, --discard throws it away.

    \b
    Examples:
      bascule serve-point /srv/points web/latest
      bascule serve-point /srv/points web --folder /srv/web --writable --hydrate --socket /run/web.sock
      qemu-system-x86_64 -drive 'file=nbd+unix:///disk0?socket=/run/web.sock,format=raw,if=virtio' …
      bascule serve-point /srv/points web --folder /srv/web --discard
    """
    order = Order(
        store,
        point,
        machine=machine,
        socket=socket,
        listen=listen,
        tls_certificates=tls_certificates,
        plain=plain,
        folder=folder,
        writable=writable,
        hydrate=hydrate,
        limit=limit,
        guest_was_reset=guest_was_reset,
        discard=discard,
        no_pin=no_pin,
        key_file=key_file,
        passphrase_file=passphrase_file,
        json=is_json,
    )
    serve(tools_of(context), order)
