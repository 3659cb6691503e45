"""What commands that ask a server share: their options, and who answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen, say
from bascule.front.cli.printing.tables import table
from bascule.front.cli.words.options import tools_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .server import Server

KIND = "HyperVReplicaAzure"
"""What Azure calls the way in which machines of our sites are replicated."""

Vault = Annotated[
    str,
    typer.Option(
        "--vault",
        metavar="VAULT",
        help="The vault. Or set BASCULE_VAULT, or `bascule vault use`.",
        show_default=False,
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        help="Which server, and as whom: see `bascule profile ls`. Or set BASCULE_PROFILE.",
        show_default=False,
    ),
]


def server_of(context: typer.Context, profile: str = "", vault: str = "") -> Server:
    """Return the server that the options or the environment name."""
    from .profiles import Profiles
    from .server import Server

    tools = tools_of(context)
    profiles = Profiles(tools.settings)
    vault = vault or tools.settings.get("BASCULE_VAULT", "")
    trace = _tracing(tools.settings.get("BASCULE_TRACE", ""))
    return Server(profiles, profiles.get(profile), vault, tools.clock, trace)


def _tracing(wanted: str) -> Callable[[str, str], None] | None:
    """Return what shows requests: those that change something for ``1``, every one for ``all``."""
    if not wanted:
        return None

    def show(method: str, path: str) -> None:
        if method != "GET" or wanted == "all":
            say(f"  > {method} {path}", sys.stderr)

    return show


def listed(
    found: Sequence[Mapping[str, Any]],
    heads: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str]],
    *,
    is_json: bool,
) -> None:
    """Show a list: a table, or all that the server says of each."""
    lines = table(heads, [row(one) for one in found]) if found else ["There is nothing."]
    Screen(is_json=is_json).show({"value": list(found)}, lines)


def properties(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of a resource."""
    found: Mapping[str, Any] = one.get("properties") or {}
    return found


def text(value: object) -> str:
    """Return a value for people: nothing for none."""
    return "" if value is None else str(value)
