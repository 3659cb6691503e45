"""All that is built: handlers by the names that the table of operations has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..answers import Answer
from ..asking import Ask
from . import commands, fabrics, items, jobs, policies, protectable, signs, subscriptions, vaults

Handler: TypeAlias = Callable[[Ask], Answer]

HANDLERS: Mapping[str, Handler] = {
    **subscriptions.HANDLERS,
    **vaults.HANDLERS,
    **fabrics.HANDLERS,
    **protectable.HANDLERS,
    **policies.HANDLERS,
    **items.HANDLERS,
    **commands.HANDLERS,
    **jobs.HANDLERS,
    **signs.HANDLERS,
}
