"""Registering a host, and renewing its certificate: the two things that need no certificate that is valid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bascule.model.errors import Refused
from bascule.ports.chance import Ids
from bascule.ports.vault.pki import Certificate, Credentials
from bascule.wire.control import messages
from bascule.wire.control.invitation import Invitation

from .line import Line
from .papers import Desk, Papers


def register(
    desk: Desk, invitation: Invitation, credentials: Credentials, ids: Ids, name: str
) -> Certificate:
    """Join a vault. Asked again after a cut it ends what was begun; a private key never leaves the host."""
    host, key = desk.begin(invitation.vault, invitation.key, ids.random(16).hex(), credentials.make_key())
    asked = messages.Registration(host, name, invitation.key, invitation.secret, credentials.request(key))
    papers = Papers(invitation.vault, invitation.addresses, invitation.authority, host, desk.pem)
    with _line() as line:
        text = messages.certificate_from(line.ask(papers, "register", messages.written(asked)))
    got = credentials.read(text)
    if (got.host, got.vault) != (host, invitation.vault):
        raise Refused(
            "the vault gave a certificate for another host", cure="register anew", code="bad-certificate"
        )
    desk.hold(text, key)
    desk.join(invitation, host)
    return got


def renew(desk: Desk, papers: Papers, credentials: Credentials) -> Certificate:
    """Get the next certificate, for a new key, by proof of the old one.

    Valid or expired makes no difference.
    """
    text, old_key = desk.pair()
    old = credentials.read(text)
    key = desk.next_key(credentials.make_key())
    request = credentials.request(key)
    words = messages.renewal_words(papers.vault, papers.host, old.serial, request)
    asked = messages.Renewal(text, request, credentials.sign(old_key, words))
    with _line() as line:
        got = messages.certificate_from(line.ask(papers, "renew", messages.written(asked)))
    desk.hold(got, key)
    desk.renewed()
    return credentials.read(got)


@contextmanager
def _line() -> Iterator[Line]:
    line = Line(as_guest=False)
    try:
        yield line
    finally:
        line.hang_up()
