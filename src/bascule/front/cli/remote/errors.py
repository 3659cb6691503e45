"""Errors of the SDKs and of Azure Resource Manager, as ours: what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from bascule.model.errors import BasculeError, Damaged, Exists, Missing, Refused, Unavailable

from .trust import changed

_FAMILIES: Mapping[int, type[BasculeError]] = {
    404: Missing,
    **dict.fromkeys((408, 429, 502, 503, 504), Unavailable),
}


@contextmanager
def told(url: str) -> Iterator[None]:
    """Translate what goes wrong inside."""
    try:
        yield
    except HttpResponseError as error:
        raise error_of(error.status_code or 500, _body(error), str(error.reason or "")) from error
    except AzureError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise changed(url) from None
        raise Unavailable(
            f"{url} does not answer: {_plain(error)}",
            cure="see that `bascule serve` runs there, and ask again",
        ) from None  # pages of what the transport tried on the way


def error_of(status: int, body: Mapping[str, Any], reason: str = "") -> BasculeError:
    """Return the error that an answer tells."""
    said = body.get("error")
    said = said if isinstance(said, Mapping) else {}
    own: Mapping[str, Any] = next(
        (
            one.get("info", {})
            for one in said.get("additionalInfo") or ()
            if one.get("type") == "BasculeError"
        ),
        {},
    )
    code, cure = str(own.get("code") or said.get("code") or f"status-{status}"), str(own.get("cure") or "")
    message = str(said.get("message") or reason or "the server says no more")
    return _kind(status, code)(message.removesuffix(f": {cure}") if cure else message, cure=cure, code=code)


def _kind(status: int, code: str) -> type[BasculeError]:
    if status == 409 and code == "exists":
        return Exists
    if status in _FAMILIES:
        return _FAMILIES[status]
    if status >= 500:
        return BasculeError if code == "internal-error" else Damaged
    return Refused


def _body(error: HttpResponseError) -> Mapping[str, Any]:
    answer: Any = error.response
    try:
        found = answer.json() if answer is not None else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plain(error: AzureError) -> str:
    text = str(error.message)
    if "refused" in text:
        return "connection refused"
    if "timed out" in text:
        return "it took too long"
    return text.partition("\n")[0][:200]
