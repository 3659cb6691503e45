"""``bascule provider register`` and ``bascule provider status``: a host and its vault."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.options import Json, tools_of
from bascule.front.cli.words.quantities import moment_iso, moment_text
from bascule.model.errors import Missing, Refused, Unavailable

from .naming import FolderPath, provider_of

if TYPE_CHECKING:
    from bascule.ports.vault.pki import Certificate
    from bascule.replication.uplink.papers import Contact, Papers


def register(
    context: typer.Context,
    *,
    file: Annotated[
        Path,
        typer.Argument(metavar="KEYFILE", help="The registration key, from the vault.", show_default=False),
    ],
    folder: FolderPath = None,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="What people call this host. [its host name]", show_default=False
        ),
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Leave the vault that this host has joined.")
    ] = False,
    is_json: Json = False,
) -> None:
    """Join a vault by a registration key. A provider that runs is in touch with it a second later.

    The host makes its own private key, which never leaves it. Interrupted, the same command goes on where
    it was.

    \b
    Example:
      bascule provider register join.key --folder /srv/provider
    """
    from bascule.replication.uplink.joining import register as join
    from bascule.replication.uplink.papers import Desk
    from bascule.wire.control.invitation import invitation_from

    tools = tools_of(context)
    try:
        invitation = invitation_from(file.read_bytes())
    except FileNotFoundError as error:
        raise Missing(f"there is no {file}", cure="make it: `bascule door key`") from error
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}") from error
    desk = Desk(provider_of(tools, folder).path)
    papers = desk.papers()
    if papers is not None and papers.vault != invitation.vault:
        if not replace:
            raise Refused(f"this host has joined vault {papers.vault}", cure="to leave it, say --replace")
        desk.leave()
    got = join(desk, invitation, tools.credentials, tools.ids, name or socket.gethostname())
    document = {"vault": got.vault, "host": got.host, "certificate_expires_at": moment_iso(got.expires_at)}
    Screen(is_json=is_json).show(
        document,
        [
            f"This host is {got.host} of vault {got.vault}.",
            f"Its certificate lasts until {moment_text(got.expires_at)}; a running provider renews it.",
        ],
    )


def status(context: typer.Context, folder: FolderPath = None, is_json: Json = False) -> None:
    """Show which vault this host has joined, when it was last in touch, and until when its certificate lasts.

    \b
    Example:
      bascule provider status --folder /srv/provider
    """
    from bascule.replication.uplink.papers import Desk

    tools, screen = tools_of(context), Screen(is_json=is_json)
    provider = provider_of(tools, folder)
    desk, is_running = Desk(provider.path), provider.heartbeat().is_running
    papers = desk.papers()
    if papers is None:
        screen.show({"is_running": is_running, "vault": None}, ["This host has joined no vault."])
        return
    held, contact = tools.credentials.read(desk.pair()[0]), desk.contact()
    now = tools.clock.now()
    document = {
        "is_running": is_running,
        "vault": papers.vault,
        "host": papers.host,
        "addresses": papers.addresses,
        "certificate_expires_at": moment_iso(held.expires_at),
        "certificate_renews_at": moment_iso(held.renew_at),
        "is_certificate_expired": now >= held.expires_at,
        "contact": asdict(contact),
    }
    screen.show(document, _lines(papers, held, contact, is_running=is_running, now=now))


def _lines(
    papers: Papers, held: Certificate, contact: Contact, *, is_running: bool, now: float
) -> Iterator[str]:
    yield f"Vault        {papers.vault} at {', '.join(papers.addresses)}"
    yield f"This host    {papers.host}"
    yield f"Provider     {'runs' if is_running else 'does not run: `bascule provider run FOLDER`'}"
    yield f"In touch     {'never yet' if contact.at is None else moment_text(contact.at)}"
    if now >= held.expires_at:
        yield f"Certificate  expired at {moment_text(held.expires_at)}; it is renewed at the next contact"
    else:
        until, renewed = moment_text(held.expires_at), moment_text(held.renew_at)
        yield f"Certificate  until {until}; renews itself from {renewed}"
    if contact.code:
        yield f"{contact.code}: {contact.message}"
        if contact.cure:
            yield f"    what to do: {contact.cure}"
