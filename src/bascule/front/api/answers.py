"""Answers: values, pages of them, and operations that take their time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from bascule.model.vault.job import Job

from .asking import Ask

# Nothing or 0 lets clients wait half a minute.
_RETRY_AFTER = "1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a status, a body or none, and headers."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> bytes:
        """Return the bytes of the body, which is JSON unless it is bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else spelled(self.body)


def page(ask: Ask, values: Iterable[object], following: str = "") -> Answer:
    """Return a page of values, with a link to the following one if there is more."""
    return Answer(body={"value": list(values), "nextLink": _link(ask, following)})


def joined(ask: Ask, values: Iterable[bytes], following: str = "") -> bytes:
    """Return the body of a page of values that are JSON already."""
    return b'{"value":[%b],"nextLink":%b}' % (b",".join(values), spelled(_link(ask, following)))


def spelled(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def accepted(ask: Ask, job: Job, resource: str) -> Answer:
    """Return that a job was begun, and where to ask for its end and for what comes of it."""
    version = f"?api-version={ask.version}"
    status = f"{ask.base}{quote(ask.home)}/replicationOperationStatus/{job.id}{version}"
    result = f"{ask.base}{quote(resource)}/operationresults/{job.id}{version}"
    return Answer(
        202, None, {"Azure-AsyncOperation": status, "Location": result, "Retry-After": _RETRY_AFTER}
    )


def moment(seconds: float | None) -> str | None:
    """Return a moment as the interface spells it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _link(ask: Ask, following: str) -> str | None:
    if not following:
        return None
    asked = {**ask.query, "$skiptoken": following}
    words = "&".join(f"{_spelt(name)}={quote(value, safe='')}" for name, value in asked.items())
    return f"{ask.base}{quote(ask.path)}?{words}"


def _spelt(name: str) -> str:
    return "$skipToken" if name == "$skiptoken" else quote(name, safe="$")
