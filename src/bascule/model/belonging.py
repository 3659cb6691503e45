"""To which replication group a machine of a host belongs, and where that is written down.

The host keeps it beside the machine, so that whoever starts one by hand can be told that its group
has changed sides. It is never copied to another host: there the machine belongs to another generation.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .errors import Damaged


@dataclass(frozen=True, slots=True)
class Belonging:
    """``group`` is the log that the machine is written to while it runs here. Paths are whole."""

    store: str
    group: str
    key_file: str = ""
    passphrase_file: str = ""


def written(belonging: Belonging) -> str:
    """Return it as JSON."""
    return json.dumps(asdict(belonging), sort_keys=True, indent=1)


def read(text: str) -> Belonging:
    """Return what ``written`` wrote, or raise Damaged."""
    try:
        fields: Any = json.loads(text)
        return Belonging(**fields)
    except (ValueError, TypeError) as error:
        raise Damaged(
            f"what a machine belongs to cannot be read: {error!r}",
            cure="say it again with `bascule protect`; to start it nevertheless: --force",
        ) from error
