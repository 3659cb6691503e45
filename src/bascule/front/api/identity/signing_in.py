"""The token endpoint, and what leads to it: programs by their secret, people by password, device or session.

A body is a form (RFC 6749, RFC 8628); a program may say who it is in a Basic header instead.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote_plus

from bascule.control.service.people.doorkeeper import Session
from bascule.control.service.people.identity import IdentityDesk
from bascule.control.service.people.users import UserDesk
from bascule.model.errors import Exists, Refused

from ..answers import Answer

Form: TypeAlias = Mapping[str, str]
_FIELDS_MAX = 20
_INTERVAL_SECONDS = 5
_CLOUDS = ("https://management.azure.com", "https://management.core.windows.net")
"""What scripts ask for that were written for the public cloud; here it is us."""
_OF_OPENID = frozenset({"openid", "profile", "offline_access", "email"})
_UNSAVED = {"Cache-Control": "no-store"}
_SPELT = {
    "authorization-pending": (400, "authorization_pending"),
    "expired-device": (400, "expired_token"),
    "missing": (400, "invalid_grant"),
    "too-many-attempts": (429, "temporarily_unavailable"),
}
"""How OAuth spells what we refuse, where it has a word of its own."""


def token(desk: IdentityDesk, users: UserDesk, base: str, body: bytes, authorization: str) -> Answer:
    """Return a token for whoever proves who they are, or what is wrong, as OAuth spells it."""
    said = _form(body)
    if said is None:
        return _refused(400, "invalid_request", "The body is no form.")
    grant = said.get("grant_type", "")
    if grant != "client_credentials" and grant not in _OF_PEOPLE:
        return _refused(400, "unsupported_grant_type", f"Ask with one of {', '.join(GRANTS)}.")
    if not _is_ours(said, base, desk.server):
        return _refused(400, "invalid_resource", f"Tokens are for {base}/ here: ask for {base}/.default.")
    try:
        if grant in _OF_PEOPLE:
            return Answer(200, _session(_OF_PEOPLE[grant](users, said), desk.server, said), _UNSAVED)
        made = desk.sign_in(*_client(said, authorization))
    except Refused as error:
        usual = (401, "invalid_client") if grant == "client_credentials" else (400, "invalid_grant")
        return _told(error, usual)
    return Answer(200, _bearer(made.text, made.lasts_seconds), _UNSAVED)


def device(users: UserDesk, base: str, body: bytes) -> Answer:
    """Let a device wait, and tell it what to show."""
    if _form(body) is None:
        return _refused(400, "invalid_request", "The body is no form.")
    try:
        made = users.wait()
    except Refused as error:
        return _told(error, (400, "invalid_request"))
    page = f"{base}/device"
    said = f"To sign in, open {page} in a browser and enter the code {made.code}."
    return Answer(
        200,
        {
            **{"user_code": made.code, "device_code": made.secret, "message": said},
            **{"verification_uri": page, "verification_url": page, "interval": _INTERVAL_SECONDS},
            "expires_in": made.lasts_seconds,
        },
        _UNSAVED,
    )


def ended(users: UserDesk, body: bytes) -> Answer:
    """End the session of a token (RFC 7009), and tell nobody whether it was one."""
    said = _form(body)
    if said is None or "token" not in said:
        return _refused(400, "invalid_request", "The body is no form with a token.")
    users.sign_out(said["token"])
    return Answer(200, {}, _UNSAVED)


def agreed(users: UserDesk, body: bytes) -> str:
    """Sign in for a device, with what its page asked for; return what is wrong, if anything is."""
    said = _form(body) or {}
    try:
        users.agree(said.get("code", ""), said.get("user", ""), said.get("password", ""))
    except Exists as error:
        return str(error)
    except Refused as error:
        return f"{error.message}: {error.cure}"
    return ""


def _by_password(users: UserDesk, said: Form) -> Session:
    return users.sign_in(said.get("username", ""), said.get("password", ""), said.get("client_id", ""))


def _by_device(users: UserDesk, said: Form) -> Session:
    return users.arrived(said.get("device_code") or said.get("code", ""), said.get("client_id", ""))


def _by_session(users: UserDesk, said: Form) -> Session:
    return users.renewed(said.get("refresh_token", ""), said.get("client_id", ""))


_OF_PEOPLE: Mapping[str, Callable[[UserDesk, Form], Session]] = {
    "password": _by_password,
    "refresh_token": _by_session,
    "urn:ietf:params:oauth:grant-type:device_code": _by_device,
    "device_code": _by_device,
}
GRANTS = ("client_credentials", *_OF_PEOPLE)


def _session(made: Session, server: str, said: Form) -> Mapping[str, object]:
    """Return a session as clients of AAD read it: they know an account by ``client_info``."""
    known = f'{{"uid":"{made.person.id}","utid":"{server}"}}'.encode()
    return {
        **_bearer(made.token.text, made.token.lasts_seconds),
        **{"scope": said.get("scope", ""), "refresh_token": made.refresh, "id_token": made.told},
        "client_info": base64.urlsafe_b64encode(known).rstrip(b"=").decode(),
    }


def _bearer(text: str, lasts: int) -> Mapping[str, object]:
    return {"token_type": "Bearer", "expires_in": lasts, "ext_expires_in": lasts, "access_token": text}


def _form(body: bytes) -> Form | None:
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=_FIELDS_MAX))
    except ValueError:
        return None


def _client(said: Form, authorization: str) -> tuple[str, str]:
    kind, _, words = authorization.partition(" ")
    if kind.casefold() == "basic":
        try:
            id, _, secret = base64.b64decode(words, validate=True).decode().partition(":")
            return unquote_plus(id), unquote_plus(secret)
        except (binascii.Error, ValueError):
            return "", ""
    return said.get("client_id", ""), said.get("client_secret", "")


def _is_ours(said: Form, base: str, server: str) -> bool:
    words = [said["resource"]] if said.get("resource") else said.get("scope", "").split()
    asked = {word.removesuffix(".default").rstrip("/") for word in words if word not in _OF_OPENID}
    return asked <= {"", base, f"api://{server}", *_CLOUDS}


def _told(error: Refused, usual: tuple[int, str]) -> Answer:
    status, code = _SPELT.get(error.code, usual)
    why = f"AADSTS7000215: {error}" if code == "invalid_client" else str(error)
    return _refused(status, code, why, {"Retry-After": "60"} if status == 429 else None)


def _refused(status: int, code: str, why: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"error": code, "error_description": why, "error_codes": [], "error_uri": ""}
    return Answer(status, body, {**_UNSAVED, **(headers or {})})
