"""``bascule door``: the vault's door for hosts, by itself."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import table
from bascule.front.cli.stopping import on_stop
from bascule.front.cli.words.options import Json, tools_of
from bascule.front.cli.words.quantities import moment_iso, moment_text, seconds_from
from bascule.front.cli.words.secrets import write_secret

app = typer.Typer(
    name="door",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Let hosts join a vault: registration keys, who is there, the door itself.",
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The vault's folder.", show_default=False)]
HostId = Annotated[str, typer.Argument(metavar="HOST", help="A host's id.", show_default=False)]


@app.command()
def run(
    context: typer.Context,
    folder: Folder,
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="HOST:PORT", help="Where hosts find the door; port 0 for a free one."
        ),
    ] = "0.0.0.0:9444",
    is_json: Json = False,
) -> None:
    """Keep the vault's door open for its hosts, until Ctrl-C or SIGTERM. FOLDER is made if it is absent.

    Hosts connect outward to it, by TLS with certificates of the vault's own authority. It may be killed at
    any moment: no command is lost, and none is carried out twice.

    \b
    Example:
      bascule door run /srv/vault --listen 0.0.0.0:9444
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    stop = threading.Event()

    def ready(address: str, vault: str) -> None:
        lines = [f"The door of vault {vault} is open at {address}."]
        screen.event("open", {"address": address, "vault": vault}, lines)

    with tools.vault_door(folder, create=True) as door, on_stop(stop.set):
        tools.serve_door(door, listen, stop, lambda address: ready(address, door.authority.vault))


@app.command()
def key(
    context: typer.Context,
    *,
    folder: Folder,
    file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The key file to make.", show_default=False)
    ],
    addresses: Annotated[
        list[str],
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Where hosts find the door; may be repeated.",
            show_default=False,
        ),
    ],
    lasts: Annotated[
        str, typer.Option("--lasts", metavar="TIME", help="How long hosts may join by it.")
    ] = "5d",
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="HOST",
            help="Only for this host, which may be known or revoked: it begins anew.",
            show_default=False,
        ),
    ] = "",
    is_json: Json = False,
) -> None:
    """Make a registration key: a file by which hosts may join, each of them once, until it expires.

    Who has the file can join as a new host: treat it as a password. The vault keeps only a digest of it.

    \b
    Examples:
      bascule door key /srv/vault --address vault.example.org:9444 --out join.key
      bascule provider register join.key --folder /srv/provider     (on the host)
    """
    from bascule.ports.vault.audit import Deed
    from bascule.ports.vault.hosts import RegistrationKey
    from bascule.wire.control.invitation import Invitation, address_parts, invitation_written

    tools = tools_of(context)
    for address in addresses:
        address_parts(address)
    expires_at = tools.clock.now() + seconds_from(lasts)
    with tools.vault_door(folder, create=True) as door:
        made, secret = tools.ids.random(8).hex(), tools.ids.random(32).hex()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        door.hosts.add_key(RegistrationKey(made, digest, expires_at, host))
        door.audit.note(Deed(tools.clock.now(), tools.who, "make-key", made))
        authority, vault = door.authority.text, door.authority.vault
    write_secret(
        file, invitation_written(Invitation(vault, tuple(addresses), authority, made, secret, expires_at))
    )
    document = {"vault": vault, "key": made, "file": str(file), "expires_at": moment_iso(expires_at)}
    Screen(is_json=is_json).show(
        document, [f"Made registration key {file}; hosts may join by it until {moment_text(expires_at)}."]
    )


@app.command()
def hosts(context: typer.Context, folder: Folder, is_json: Json = False) -> None:
    """List the hosts that joined: when they were last heard of, and until when their certificates last.

    \b
    Example:
      bascule door hosts /srv/vault
    """
    tools = tools_of(context)
    with tools.vault_door(folder) as door:
        found = door.hosts.all()
    document = {
        "hosts": [
            {
                "host": one.id,
                "name": one.name,
                "is_revoked": one.is_revoked,
                "registered_at": moment_iso(one.registered_at),
                "seen_at": one.seen_at and moment_iso(one.seen_at),
                "certificate_expires_at": moment_iso(one.certificate_expires_at),
                "groups": one.groups,
            }
            for one in found
        ]
    }
    rows = [
        (
            one.id,
            one.name,
            "revoked" if one.is_revoked else "known",
            "never" if one.seen_at is None else moment_text(one.seen_at),
            moment_text(one.certificate_expires_at),
            str(len(one.groups)),
        )
        for one in found
    ]
    heads = ("HOST", "NAME", "STATE", "LAST SEEN", "CERTIFICATE UNTIL", "GROUPS>")
    Screen(is_json=is_json).show(document, table(heads, rows) if rows else ["No host has joined."])


@app.command()
def revoke(context: typer.Context, folder: Folder, host: HostId, is_json: Json = False) -> None:
    """Let a host in no more, whatever it shows. A key made with `--host` lets it join again.

    \b
    Example:
      bascule door revoke /srv/vault 0f3a…
    """
    from bascule.ports.vault.audit import Deed

    tools = tools_of(context)
    with tools.vault_door(folder) as door:
        door.hosts.revoke(host)
        door.audit.note(Deed(tools.clock.now(), tools.who, "revoke", host))
    Screen(is_json=is_json).show({"host": host}, [f"Host {host} is not let in any more."])


@app.command()
def order(
    context: typer.Context,
    *,
    folder: Folder,
    host: HostId,
    verb: Annotated[
        str,
        typer.Argument(
            metavar="VERB", help="pause, resume, resync, unprotect or protect.", show_default=False
        ),
    ],
    group: Annotated[str, typer.Argument(metavar="GROUP", help="The group.", show_default=False)],
    arguments: Annotated[
        str, typer.Option("--arguments", metavar="JSON", help="What the verb needs to know.")
    ] = "{}",
    is_json: Json = False,
) -> None:
    """Have a host do something, now or when it is next heard of, and return at once.

    What became of it is said by `bascule door orders`.

    \b
    Examples:
      bascule door order /srv/vault 0f3a… pause web
      bascule door order /srv/vault 0f3a… protect web --arguments
        '{"machines": ["/run/vm/web.qmp"], "store": "s3://b/points", "key_file": "/etc/bascule/main.key"}'
    """
    from bascule.ports.vault.audit import Deed
    from bascule.wire.control.strict import parsed

    tools = tools_of(context)
    parsed(arguments.encode(), 64 << 10)
    with tools.vault_door(folder) as door:
        given = door.hosts.give(host, tools.ids.random(16).hex(), verb, group, _object(arguments))
        door.audit.note(Deed(tools.clock.now(), tools.who, verb, f"{host}/{group}"))
    document = {"host": host, "sequence": given.sequence, "order": given.id}
    Screen(is_json=is_json).show(document, [f"Host {host} is to {verb} {group} (order {given.sequence})."])


@app.command()
def orders(
    context: typer.Context,
    folder: Folder,
    host: Annotated[
        str, typer.Argument(metavar="[HOST]", help="Only those of this host.", show_default=False)
    ] = "",
    is_json: Json = False,
) -> None:
    """List what hosts were told to do, and what became of it.

    \b
    Example:
      bascule door orders /srv/vault
    """
    with tools_of(context).vault_door(folder) as door:
        found = door.hosts.orders(host)
    document = {
        "orders": [
            {
                "host": one.host,
                "sequence": one.command.sequence,
                "verb": one.command.verb,
                "group": one.command.group,
                "result": one.result and asdict(one.result),
            }
            for one in found
        ]
    }
    rows = [
        (
            one.host,
            str(one.command.sequence),
            one.command.verb,
            one.command.group,
            "waits"
            if one.result is None
            else "heard"
            if one.result.is_done
            else f"refused: {one.result.message}",
        )
        for one in found
    ]
    heads = ("HOST", "ORDER>", "VERB", "GROUP", "RESULT")
    Screen(is_json=is_json).show(document, table(heads, rows) if rows else ["No host was told anything."])


@app.command()
def audit(
    context: typer.Context,
    folder: Folder,
    lines: Annotated[int, typer.Option("--lines", min=1, metavar="N", help="How many of the newest.")] = 50,
    is_json: Json = False,
) -> None:
    """Show who did what at the door, and who was refused.

    \b
    Example:
      bascule door audit /srv/vault --lines 20
    """
    with tools_of(context).vault_door(folder) as door:
        found = door.audit.deeds(lines)[::-1]
    rows = [
        (moment_text(one.at), one.who, one.what, one.subject, one.code or "done", one.detail) for one in found
    ]
    Screen(is_json=is_json).show(
        {"deeds": [asdict(one) for one in found]},
        table(("AT", "WHO", "WHAT", "SUBJECT", "RESULT", "DETAIL"), rows),
    )


def _object(arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arguments)
    return found
