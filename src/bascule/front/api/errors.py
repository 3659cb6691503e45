"""Errors as Azure Resource Manager tells them: a status by family, a code, and a message with the cure."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.errors import BasculeError, Damaged, Exists, Missing, Refused, Unavailable

Headers = Mapping[str, str]


class TurnedAway(Refused):
    """Refused at this door, before the service has heard of it: so the door writes it down."""

    code = "bad-request"


_STATUS = {
    "missing-token": 401,
    "invalid-token": 401,
    "expired-token": 401,
    "revoked": 401,
    "not-permitted": 403,
    "no-role": 403,
    "not-allowed": 409,
    "not-empty": 409,
    "in-use": 409,
    "job-in-progress": 409,
    "too-large": 413,
    "too-slow": 408,
    "too-many-attempts": 429,
    "unknown-operation": 404,
    "unknown-subscription": 404,
    "another-group": 404,
}
"""Of what is refused, what has a status of its own; all else is a bad request."""

_NAMES = {
    "missing": "ResourceNotFound",
    "missing-token": "AuthenticationFailed",
    "invalid-token": "InvalidAuthenticationToken",
    "expired-token": "ExpiredAuthenticationToken",
    "revoked": "InvalidAuthenticationToken",
    "not-permitted": "AuthorizationFailed",
    "no-role": "AuthorizationFailed",
    "not-allowed": "OperationNotAllowed",
    "unknown-operation": "InvalidResourceType",
    "bad-request": "BadRequest",
    "no-api-version": "MissingApiVersionParameter",
    "bad-api-version": "InvalidApiVersionParameter",
    "bad-body": "InvalidRequestContent",
    "too-large": "RequestEntityTooLarge",
    "too-many-attempts": "TooManyRequests",
    "not-yet": "OperationNotYetSupported",
    "out-of-scope": "OperationNotSupported",
    "unknown-subscription": "SubscriptionNotFound",
    "another-group": "ResourceNotFound",
}
"""Codes of Resource Manager for ours, where it has one; else ours are spelt as it spells its own."""


def status_of(error: BasculeError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, Refused) and error.code in _STATUS:
        return _STATUS[error.code]
    families = ((Missing, 404), (Exists, 409), (Refused, 400), (Unavailable, 503), (Damaged, 500))
    return next((status for family, status in families if isinstance(error, family)), 500)


def code_of(code: str) -> str:
    """Return a code of ours as Resource Manager spells codes."""
    return _NAMES.get(code) or "".join(part.capitalize() for part in code.split("-"))


def body_of(error: BasculeError, target: str = "") -> Mapping[str, object]:
    """Return the body that tells an error."""
    return {"error": detail(error.code, error.message, error.cure, target)}


def detail(code: str, message: str, cure: str, target: str = "") -> Mapping[str, object]:
    """Return what Resource Manager calls an error detail."""
    text = f"{message}: {cure}" if cure else message
    more = [{"type": "BasculeError", "info": {"code": code, "cure": cure}}]
    return {
        **{"code": code_of(code), "message": text, "target": target or None},
        **{"details": [], "additionalInfo": more},
    }


def headers_of(error: BasculeError, authority: str) -> Headers:
    """Return the headers that go with an error: where to sign in, or when to ask again."""
    status = status_of(error)
    if status == 401:
        said = f'Bearer authorization_uri="{authority}", error="invalid_token"'
        return {"WWW-Authenticate": said}
    return {"Retry-After": "5"} if status in (429, 503) else {}
