"""Takes bodies in, of bounded size and in bounded time; what is wrong is returned, and written down later."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .asking import BODY_MAX
from .errors import TurnedAway

_SECONDS = 20.0


async def taken(request: Request) -> bytes | TurnedAway:
    """Return the body of a request, or why it is not taken."""
    said = request.headers.get("content-length", "0")
    if len(said) > 9 or not said.isdecimal() or int(said) > BODY_MAX:
        return _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > BODY_MAX:
                    return _too_large()
    except (TimeoutError, ClientDisconnect):
        return TurnedAway("the body did not come", cure="send it at once", code="too-slow")
    return bytes(data)


def _too_large() -> TurnedAway:
    return TurnedAway("the body is too large", cure=f"send {BODY_MAX} bytes at most", code="too-large")
