"""Takes bodies in, of bounded size and in bounded time; what is wrong is returned, and written down later."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .asking import BODY_MAX
from .errors import TurnedAway

_SECONDS = 20.0


async def taken(request: Request) -> bytes | TurnedAway:
    """Return the body of a request, or why it is not taken."""
    if "content-length" in request.headers and ends_where_others_may_not(request):
        return TurnedAway("the length of the body is said twice", cure="say it once", code="two-lengths")
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


def ends_where_others_may_not(request: Request) -> bool:
    """Tell whether whatever stands before us may see the end of the body elsewhere than we do.

    Chunks have lines of their own, with extensions and trailers, that are read in more ways than one. What
    follows on that connection is nobody's request, so it ends with the answer.
    """
    return "transfer-encoding" in request.headers


def _too_large() -> TurnedAway:
    return TurnedAway("the body is too large", cure=f"send {BODY_MAX} bytes at most", code="too-large")
