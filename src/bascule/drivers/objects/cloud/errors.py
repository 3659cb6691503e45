"""obstore's errors, translated at the door.

obstore tells most things apart in its text only. The text names no secret: it
redacts addresses that carry a signature, and keys travel in headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from bascule.model.errors import BasculeError, Missing, Refused, Unavailable

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_SYSTEM = re.compile(r'message: "([^"]+)"')
_NO_BUCKET = re.compile(r"ContainerNotFound|NoSuchBucket|specified container does not exist")
_PAST_END = re.compile(r"status code: 416|Wanted range starting at")
_METADATA = "http://169.254.169.254/"
_ASK_LATER = {408, 409, 412, 416, 425, 429}


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket or container as people know it, and what to do when it is not there or says no."""

    url: str
    make_it: str
    get_access: str


def explain(error: Exception, place: Place, what: str) -> BasculeError:
    """Turn an error of obstore's into one of ours; ``what`` is the deed."""
    text, _, details = str(error).partition("Debug source")
    if _NO_BUCKET.search(text):
        return Missing(f"{what}: there is no {place.url}", cure=place.make_it, code="no-bucket")
    if isinstance(error, FileNotFoundError):
        return Missing(f"{what}: there is no such object in {place.url}")
    said = f"{what} in {place.url}: {_reason(text, details)}"
    if _METADATA in text:
        return Refused(f"{what} in {place.url}: no credentials were found", cure=place.get_access)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or status in (401, 403):
        return Refused(said, cure=f"{place.get_access}; a clock that is wrong looks the same", code="denied")
    wrong = 400 <= status < 500 and status not in _ASK_LATER
    if wrong or isinstance(error, (InvalidPathError, NotSupportedError)):
        return Refused(said, cure="see what the server dislikes about it; trying again will not help")
    return Unavailable(said, cure="check the endpoint and the network between; it is safe to try again")


def is_past_end(error: Exception) -> bool:
    """Tell whether a read failed for starting at or after the end of the object."""
    return _PAST_END.search(str(error)) is not None


def is_no_bucket(error: Exception) -> bool:
    """Tell a missing bucket from a missing object, where the server says so."""
    return _NO_BUCKET.search(str(error)) is not None


@contextmanager
def explained(place: Place, what: str) -> Iterator[None]:
    """Let nothing of obstore's out but what ``explain`` makes of it."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise explain(error, place, what) from error


def _reason(text: str, details: str) -> str:
    status, code, system = _STATUS.search(text), _CODE.search(text), _SYSTEM.findall(details)
    if status:
        return f"the server answered {status[1]}" + (f" {code[1]}" if code else "")
    if "TimedOut" in details:
        return "no answer in time"
    return system[-1] if system else " ".join(text.split())[-200:]
