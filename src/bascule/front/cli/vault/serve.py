"""``bascule serve``: vaults, their jobs and the hosts' door in one process."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.stopping import on_stop
from bascule.front.cli.tools import Tools
from bascule.front.cli.words.options import Json, tools_of
from bascule.model.errors import Refused

from .settings import Opened, ServerSettings

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The server's folder; made if it is absent.")]
Database = Annotated[
    str,
    typer.Option(
        "--postgres",
        metavar="URL",
        help="Keep vaults and jobs in this database instead: postgresql://….",
        show_default=False,
    ),
]
Listen = Annotated[
    str,
    typer.Option("--listen", metavar="HOST:PORT", help="Where hosts find the door; port 0 for a free one."),
]
Local = Annotated[
    str,
    typer.Option("--local", metavar="HOST:PORT", help="Where /healthz and /metrics are, for this machine."),
]
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="What registration keys say where the door is; may be repeated. [where it listens]",
        show_default=False,
    ),
]
Api = Annotated[
    str,
    typer.Option("--api", metavar="HOST:PORT", help="Where the API is, over HTTPS; port 0 for a free one."),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--api-name",
        metavar="NAME",
        help="What else clients call the API by, for its certificate; may be repeated.",
        show_default=False,
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="What the API shows instead of a certificate of its own authority: PEM, with the chain.",
        show_default=False,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The private key of --certificate.", show_default=False),
]
Check = Annotated[
    bool, typer.Option("--check", help="Only look whether it could run, and say what to do if not.")
]


def serve(
    context: typer.Context,
    *,
    folder: Folder,
    postgres: Database = "",
    listen: Listen = "0.0.0.0:9444",
    local: Local = "127.0.0.1:9445",
    addresses: Addresses = None,
    api: Api = "0.0.0.0:9446",
    names: Names = None,
    certificate: Certificate = None,
    key: Key = None,
    check: Check = False,
    is_json: Json = False,
) -> None:
    """Run vaults on this machine, until Ctrl-C or SIGTERM: their jobs, the hosts' door, the API.

    It may be killed at any moment: the next one finishes every job as it would have ended. A folder has
    one server at a time. What it does is logged to standard error; BASCULE_LOG=warning says less.
    Mail about events goes to the relay that BASCULE_SMTP names as HOST:PORT, from BASCULE_SMTP_FROM, with
    BASCULE_SMTP_USER and BASCULE_SMTP_PASSWORD if it asks for them.

    \b
    Examples:
      bascule serve /srv/vaults
      bascule login /srv/vaults                    (meanwhile, as the same user)
      curl http://127.0.0.1:9445/healthz
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    if (certificate is None) != (key is None):
        raise Refused("a certificate and its key go together", cure="name both --certificate and --key")
    pair = {"certificate": certificate, "key": key}
    told, called = tuple(addresses or ()), tuple(names or ())
    settings = ServerSettings(folder, postgres, listen, local, told, api, called, _mail(tools), **pair)
    if check:
        _check(tools, screen, settings)
        return
    stop = threading.Event()

    def ask() -> None:
        stop.set()
        screen.note("Stopping in order; once more stops at once.")

    with on_stop(ask):
        tools.serve_vaults(settings, stop, partial(_ready, screen, folder))


def _ready(screen: Screen, folder: Path, opened: Opened) -> None:
    fields = {
        "door": opened.door,
        "local": opened.local,
        "authority": opened.authority,
        "api": opened.api,
        "fingerprint": opened.fingerprint,
    }
    lines = [
        f"Vaults run in {folder}; their hosts come in at {opened.door}.",
        f"How it is: http://{opened.local}/healthz, and its figures: http://{opened.local}/metrics.",
        f"The API is {opened.api}, and whoever comes for the first time knows it by this fingerprint:",
        opened.fingerprint,
    ]
    if opened.first is not None:
        lines.append(f"Its first service principal is in {opened.first}, which only you can read.")
    screen.event("running", fields, lines)


def _mail(tools: Tools) -> tuple[str, str, str, str]:
    found, sender = tools.settings, "bascule@localhost"
    names = (("BASCULE_SMTP", ""), ("BASCULE_SMTP_FROM", sender), ("BASCULE_SMTP_USER", ""))
    server, sender, user = (found.get(name, default) for name, default in names)
    return server, sender, user, found.get("BASCULE_SMTP_PASSWORD", "")


def _check(tools: Tools, screen: Screen, settings: ServerSettings) -> None:
    checks = tools.check_vaults(settings)
    lines = [f"{'well' if one.is_met else 'NOT '}  {one.what}: {one.message}" for one in checks]
    screen.show({"checks": [one.document for one in checks]}, lines)
    for one in checks:
        if one.error is not None:
            raise one.error
