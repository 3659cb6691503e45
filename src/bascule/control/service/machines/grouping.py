"""Into which group a machine is put, and what its route becomes by that (R-W-9)."""

from __future__ import annotations

from dataclasses import replace

from bascule.control import meant
from bascule.model.errors import Refused
from bascule.model.vault.route import Route
from bascule.model.vault.sides.pairing import Container, ContainerMapping, Target
from bascule.ports.catalog import Books

from ..sides.containers import refuse_elsewhere
from ..sides.recovery import target_of

_CURE = "say it in the group, or once for the site or the vault: docs/api.md, recovery_settings"


def grouped(books: Books, vault: str, container: str, route: Route) -> tuple[Route, str]:
    """Return a route with nothing left to say, checked, and the id of the group.

    The group is that of the container with the route's policy. Without one, whoever names the host that takes
    over may do without.
    """
    group = _group(books, vault, container, route)
    source = meant.server(books, vault, route.source)
    said = Target(route.recovery, route.store, route.key_file)
    target = said.over(target_of(books, vault, source.fabric, group))
    for words, what in (
        (route.machine, "machine"),
        (target.host, "host that takes over"),
        (target.store, "store"),
        (target.key_file, "key file"),
    ):
        if not words:
            raise Refused(f"no {what} is named", cure=_CURE, code="incomplete")
    books.policies.get(vault, route.policy)
    full = replace(route, recovery=target.host, store=target.store, key_file=target.key_file)
    full = meant.route(books, vault, full)
    if group:
        refuse_elsewhere(books, group, full.recovery)
    return full, group.id if group else ""


def _group(books: Books, vault: str, container: str, route: Route) -> ContainerMapping | None:
    if not container:
        return None
    groups = [one for one in books.mappings.list(vault) if one.container == container]
    found = next((one for one in groups if one.policy == route.policy), None)
    if found is None and not route.recovery:
        name = Container(vault, container).name
        has = ", ".join(f"{one.name} with {one.policy}" for one in groups)[:300] or "none"
        raise Refused(
            f"container {name} has no protection group with policy {route.policy}; it has {has}",
            cure="map the container with that policy first, or name the host that takes over",
            code="no-group",
        )
    return found
