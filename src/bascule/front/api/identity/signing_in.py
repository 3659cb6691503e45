"""The token endpoint: client credentials, in a body of a form (RFC 6749, 4.4) or in a Basic header."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from bascule.control.service.people.identity import IdentityDesk
from bascule.model.errors import Refused

from ..answers import Answer

_FIELDS_MAX = 20
_CLOUDS = ("https://management.azure.com", "https://management.core.windows.net")
"""What scripts ask for that were written for the public cloud; here it is us."""


def token(desk: IdentityDesk, base: str, body: bytes, authorization: str) -> Answer:
    """Return a token for a client who has its secret, or what is wrong, as OAuth spells it."""
    try:
        said = dict(parse_qsl(body.decode(), max_num_fields=_FIELDS_MAX))
    except ValueError:
        return _refused(400, "invalid_request", "The body is no form.")
    if said.get("grant_type") != "client_credentials":
        return _refused(400, "unsupported_grant_type", "Ask with grant_type=client_credentials.")
    if not _is_ours(said, base, desk.server):
        return _refused(400, "invalid_resource", f"Tokens are for {base}/ here: ask for {base}/.default.")
    id, secret = _client(said, authorization)
    try:
        made = desk.sign_in(id, secret)
    except Refused as error:
        if error.code == "too-many-attempts":
            return _refused(429, "temporarily_unavailable", str(error), {"Retry-After": "60"})
        return _refused(401, "invalid_client", f"AADSTS7000215: {error}")
    lasts = made.lasts_seconds
    answer = {"token_type": "Bearer", "expires_in": lasts, "ext_expires_in": lasts}
    return Answer(200, {**answer, "access_token": made.text}, {"Cache-Control": "no-store"})


def _client(said: Mapping[str, str], authorization: str) -> tuple[str, str]:
    kind, _, words = authorization.partition(" ")
    if kind.casefold() == "basic":
        try:
            id, _, secret = base64.b64decode(words, validate=True).decode().partition(":")
            return unquote_plus(id), unquote_plus(secret)
        except (binascii.Error, ValueError):
            return "", ""
    return said.get("client_id", ""), said.get("client_secret", "")


def _is_ours(said: Mapping[str, str], base: str, server: str) -> bool:
    asked = said.get("resource") or said.get("scope", "").split(" ")[0].removesuffix(".default")
    return asked.rstrip("/") in ("", base, f"api://{server}", *_CLOUDS)


def _refused(status: int, code: str, why: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"error": code, "error_description": why, "error_codes": [], "error_uri": ""}
    return Answer(status, body, {"Cache-Control": "no-store", **(headers or {})})
