"""What is asked of a server, and what it says; no sockets here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from bascule.model.vault.signs.check import Check

from .figures import CONTENT_TYPE, Figure, written


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as HTTP says it."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Pages:
    """What the pages show; each is asked anew with each request, from several threads."""

    checks: Callable[[], tuple[Check, ...]]
    figures: Callable[[], Iterable[Figure]]


def page(pages: Pages, path: str) -> Answer:
    """Return a page."""
    if path == "/healthz":
        return _health(pages.checks())
    if path == "/metrics":
        return Answer(HTTPStatus.OK, written(pages.figures()).encode(), CONTENT_TYPE)
    return document(
        {"error": {"code": "missing", "message": f"there is no page {path[:100]}"}}, HTTPStatus.NOT_FOUND
    )


def document(content: object, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return a JSON document."""
    return Answer(status, json.dumps(content).encode() + b"\n")


def _health(checks: tuple[Check, ...]) -> Answer:
    is_well = all(one.is_met for one in checks)
    content = {"status": "ok" if is_well else "unwell", "checks": [one.document for one in checks]}
    return document(content, HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)
