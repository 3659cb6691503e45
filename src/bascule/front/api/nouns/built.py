"""All that is built: handlers by the names that the table of operations has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from ..answers import Answer
from ..asking import Ask
from ..identity import people, subscriptions, users
from . import absent, credentials, jobs, offers, settings, signs, vaults
from .machines import commands, enabling, items, plans, points, shaping
from .sides import containers, fabrics, mappings, policies, protectable, targets

Handler: TypeAlias = Callable[[Ask], Answer]

_WORKING: dict[str, Handler] = {
    **subscriptions.HANDLERS,
    **people.HANDLERS,
    **users.HANDLERS,
    **vaults.HANDLERS,
    **fabrics.HANDLERS,
    **containers.HANDLERS,
    **mappings.HANDLERS,
    **targets.HANDLERS,
    **protectable.HANDLERS,
    **policies.HANDLERS,
    **items.HANDLERS,
    **points.HANDLERS,
    **plans.HANDLERS,
    **enabling.HANDLERS,
    **commands.HANDLERS,
    **shaping.HANDLERS,
    **jobs.HANDLERS,
    **signs.HANDLERS,
    **credentials.HANDLERS,
    **settings.HANDLERS,
    **offers.HANDLERS,
    **absent.HANDLERS,
}

_OFFERED = partial(
    offers.list_operations, built=_WORKING | {"operations.list": None, "operations.list_of_provider": None}
)
HANDLERS: Mapping[str, Handler] = {
    **_WORKING,
    "operations.list": _OFFERED,
    "operations.list_of_provider": _OFFERED,
}
