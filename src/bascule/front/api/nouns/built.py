"""All that is built: handlers by the names that the table of operations has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..answers import Answer
from ..asking import Ask
from ..identity import people, subscriptions
from . import jobs, signs, vaults
from .machines import commands, items, points
from .sides import fabrics, policies, protectable

Handler: TypeAlias = Callable[[Ask], Answer]

HANDLERS: Mapping[str, Handler] = {
    **subscriptions.HANDLERS,
    **people.HANDLERS,
    **vaults.HANDLERS,
    **fabrics.HANDLERS,
    **protectable.HANDLERS,
    **policies.HANDLERS,
    **items.HANDLERS,
    **points.HANDLERS,
    **commands.HANDLERS,
    **jobs.HANDLERS,
    **signs.HANDLERS,
}
