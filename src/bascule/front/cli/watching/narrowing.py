"""Lists made narrower: by since when, of what, and how grave, as the server's ``$filter`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from bascule.front.cli.words.quantities import moment_iso, since_from
from bascule.model.errors import Refused
from bascule.ports.chance import Clock

Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only those since then: a span before now, as 2h or 3d, or a time, as 2030-01-31T18:00.",
        show_default=False,
    ),
]


def filtered(terms: Mapping[str, str], since: str, clock: Clock) -> Mapping[str, object]:
    """Return how an operation is asked for what equals all terms that are not empty, since a moment."""
    said = [f"{word} eq '{_word(value)}'" for word, value in terms.items() if value]
    if since:
        said.append(f"StartTime ge '{moment_iso(since_from(since, clock.now()))}'")
    return {"filter": " and ".join(said)} if said else {}


def _word(value: str) -> str:
    if "'" in value:
        raise Refused(f"{value!r} is no name here", cure="leave the quotation mark out")
    return value
