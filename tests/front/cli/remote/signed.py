"""Who signs in at a server in this process, and how a desk trusts it."""

from __future__ import annotations

from pathlib import Path

from bascule.front.cli.remote import trust
from tests.front.api.serving import Served
from tests.front.cli.conftest import Desk


def fingerprint(server: Served) -> str:
    """Return what the server prints where it runs."""
    return trust.fingerprint(Path(server.authority).read_text())


def settings(desk: Desk, server: Served, name: str = "root", **more: str) -> dict[str, str]:
    """Return the environment of a program that has a secret; root owns the server."""
    made = server.people[name]
    known = {"BASCULE_CLIENT_ID": made.principal.id, "BASCULE_CLIENT_SECRET": made.secret}
    return desk.settings | known | more


def owners(desk: Desk, server: Served) -> Desk:
    """Sign the owner of a server in at a desk."""
    desk.ok("login", server.base, "--fingerprint", fingerprint(server), settings=settings(desk, server))
    return desk
