"""Bearer tokens: JSON Web Tokens, signed with a key that never leaves the server (HMAC-SHA-256).

Whoever signs is also the only one who checks, so no key is published. The header is not read but compared:
a token with any other one, ``alg: none`` before all, is not ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping

from bascule.model.errors import Refused

TOKEN_MAX = 4096
_HEADER = b'{"alg":"HS256","typ":"JWT"}'
# Clocks of a server and of its next life differ.
_LEEWAY_SECONDS = 5.0


def sign(claims: Mapping[str, str | int], key: bytes) -> str:
    """Return a token that says so."""
    body = json.dumps(claims, separators=(",", ":")).encode()
    words = f"{_text(_HEADER)}.{_text(body)}"
    return f"{words}.{_text(_signature(words, key))}"


def read(token: str, key: bytes, *, issuer: str, audience: str, now: float) -> Mapping[str, str]:
    """Return the words of a token of ours that is for ``audience`` and has not expired, or refuse it."""
    words, _, signature = token.rpartition(".")
    header, _, body = words.partition(".")
    is_ours = len(token) <= TOKEN_MAX and header == _text(_HEADER)
    if not is_ours or not hmac.compare_digest(_text(_signature(words, key)).encode(), signature.encode()):
        raise _invalid("it is not signed by this server")
    claims = _claims(body)
    starts, ends = claims.get("nbf"), claims.get("exp")
    if not isinstance(starts, int) or not isinstance(ends, int):
        raise _invalid("it does not say how long it lasts")
    if now >= ends:
        raise Refused("the token has expired", cure="sign in again", code="expired-token")
    if now < starts - _LEEWAY_SECONDS:
        raise _invalid("it does not hold yet")
    said = {name: value for name, value in claims.items() if isinstance(value, str)}
    if said.get("iss") != issuer:
        raise _invalid("it was issued by somebody else")
    if said.get("aud") != audience:
        raise _invalid(f"it is for {said.get('aud', 'nobody')[:100]}")
    return said


def _claims(body: str) -> Mapping[str, object]:
    try:
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _invalid("its body is no JSON") from error
    if not isinstance(found, dict):
        raise _invalid("its body is no object")
    return found


def _signature(words: str, key: bytes) -> bytes:
    return hmac.new(key, words.encode(), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _invalid(why: str) -> Refused:
    return Refused(f"the token is not valid: {why}", cure="sign in for this server", code="invalid-token")
