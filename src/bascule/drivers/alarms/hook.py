"""Events posted to an address as JSON. Nobody is followed elsewhere: who is told is who was named."""

from __future__ import annotations

import json
from dataclasses import asdict
from http.client import HTTPException
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from bascule.model.errors import Refused, Unavailable
from bascule.model.vault.signs.alerts import AlertSettings
from bascule.model.vault.signs.event import Event

_SECONDS = 15.0
_WRONG = range(300, 500)
_PASSING = (408, 425, 429)


class _Stay(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> None:
        """Follow nobody."""


def posted(settings: AlertSettings, events: tuple[Event, ...]) -> None:
    """Post events, the oldest first."""
    body = json.dumps({"vault": settings.vault, "events": [asdict(event) for event in events]}).encode()
    request = Request(settings.hook, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with build_opener(_Stay).open(request, timeout=_SECONDS):
            return
    except HTTPError as error:
        error.close()
        said = f"{settings.hook} answered {error.code} to events of {settings.vault}"
        if error.code in _WRONG and error.code not in _PASSING:
            raise Refused(said, cure="see whether that is the address") from error
        raise Unavailable(said, cure="see what is wrong there") from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise Unavailable(
            f"{settings.hook} does not take events of {settings.vault}: {error}",
            cure="see that it is reached from here",
        ) from error
