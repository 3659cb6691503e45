"""Which object names are accepted: one rule for every place, the strictest of them all.

A name is one or more segments joined by ``/``. A segment is 1 to 255 characters
(the limit of file systems) out of the port's set and does not end with a dot:
Azure loses such dots, and so ``.`` and ``..`` are excluded as well. A whole name
has 512 characters at most, which leaves half of the 1024 of S3 and Azure to the
prefix a store lives under.
"""

from __future__ import annotations

import re

from bascule.model.errors import Refused

LONGEST = 512
_SEGMENT = r"[A-Za-z0-9_.~-]{0,254}[A-Za-z0-9_~-]"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*[A-Za-z0-9_.~-]*")
_CURE = "use ASCII letters, digits and -_.~ in segments joined by /, none of which ends with a dot"


def is_name(text: str) -> bool:
    """Tell whether ``text`` may name an object."""
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def check_name(name: str) -> None:
    """Refuse what may not name an object."""
    if not is_name(name):
        raise Refused(f"{name[:80]!r} is no object name", cure=_CURE)


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no object name can have; the empty one is fine."""
    if len(prefix) > LONGEST or _PREFIX.fullmatch(prefix) is None:
        raise Refused(f"{prefix[:80]!r} is no prefix of object names", cure=_CURE)
