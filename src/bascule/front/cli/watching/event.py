"""``bascule event``: what happened in a vault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.remote.server import Server
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_iso, moment_text, since_from
from bascule.model.errors import Unavailable

from .narrowing import Since, filtered

app = typer.Typer(
    name="event",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What happened in a vault: each line comes once, when something begins to be wrong or is over.",
)
_LOOK_SECONDS = 2.0
_JUST_NOW_SECONDS = 60
_PATIENCE_SECONDS = 60.0


class Severity(StrEnum):
    """How grave an event is."""

    CRITICAL = "Critical"
    WARNING = "Warning"
    OK = "OK"


@app.command("ls")
def list_events(
    *,
    context: typer.Context,
    item: Annotated[
        str,
        typer.Option(
            "--item", metavar="NAME", help="Only those of this machine or host.", show_default=False
        ),
    ] = "",
    severity: Annotated[
        Severity | None,
        typer.Option("--severity", help="Only those as grave as this.", show_default=False),
    ] = None,
    since: Since = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Go on and print what happens, from a minute ago or --since, until Ctrl-C.",
        ),
    ] = False,
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """List a vault's events, the newest first; or follow them, the newest last.

    Who follows outlives a server that is away for a minute. With --json each event is a line then.

    \b
    Examples:
      bascule event ls --since 24h --severity Critical
      bascule event ls --follow --item web
    """
    server = server_of(context, profile, vault)
    terms = {"AffectedObjectFriendlyName": item, "Severity": severity or ""}
    if not follow:
        found = server.all("replication_events.list", **filtered(terms, since, server.clock))
        listed(found, ("AT", "SUBJECT", "SEVERITY", "CODE", "WHAT"), _row, is_json=is_json)
        return
    screen, since = Screen(is_json=is_json), since or f"{_JUST_NOW_SECONDS}s"
    for one in _followed(server, terms, moment_iso(since_from(since, server.clock.now()))):
        screen.event("event", one, ["  ".join(_row(one))])


def _followed(server: Server, terms: Mapping[str, str], since: str) -> Iterator[Mapping[str, Any]]:
    """Yield events as they come. Those of the latest moment are asked for again: others may share it."""
    known: set[str] = set()
    heard_at = server.clock.monotonic()
    while True:
        try:
            found = server.all("replication_events.list", **filtered(terms, since, server.clock))
        except Unavailable:
            if server.clock.monotonic() - heard_at > _PATIENCE_SECONDS:
                raise
        else:
            heard_at = server.clock.monotonic()
            yield from (one for one in reversed(found) if one["name"] not in known)
            if found:
                known = {text(one["name"]) for one in found}
                since = text(properties(found[0])["timeOfOccurrence"])
        server.clock.sleep(_LOOK_SECONDS)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    said = properties(one)
    at = moment_text(moment_from(text(said["timeOfOccurrence"])))
    subject, code = text(said["affectedObjectFriendlyName"]), text(said["eventCode"])
    return at, subject, text(said["severity"]), code, text(said["description"])
