"""Protection containers: of each site its own one, which has the site's name, and those that were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.sides.pairing import Container

from ...answers import Answer, page
from ...asking import Ask
from ...naming import named, resource
from .fabrics import SITE, fabric_of

_TYPE = "replicationFabrics/replicationProtectionContainers"


def list_all(ask: Ask) -> Answer:
    """Return the containers of a vault, or those of a fabric."""
    found = ask.service.containers.list(ask.caller, ask.vault)
    if "fabric" in ask.names:
        fabric = fabric_of(ask).id
        found = tuple(one for one in found if one.fabric == fabric)
    return page(ask, _shapes(ask, found))


def get(ask: Ask) -> Answer:
    """Return a container."""
    return Answer(body=_shapes(ask, (container_of(ask),))[0])


def put(ask: Ask) -> Answer:
    """Make a container, or find it as it is."""
    fabric = fabric_of(ask).id
    wanted = ask.names["container"].casefold()
    known = ask.service.containers.list(ask.caller, ask.vault)
    alike = [one for one in known if one.fabric == fabric and one.name.casefold() == wanted]
    if not alike:
        alike = [ask.service.containers.create(ask.caller, ask.vault, fabric, ask.names["container"])]
    return Answer(body=_shapes(ask, tuple(alike))[0])


def remove(ask: Ask) -> Answer:
    """Remove a container that was made."""
    ask.service.containers.remove(ask.caller, ask.vault, container_of(ask).id)
    return Answer(204)


def container_of(ask: Ask) -> Container:
    """Return the container that a path names."""
    fabric = fabric_of(ask).id
    known = ask.service.containers.list(ask.caller, ask.vault)
    inside = (one for one in known if one.fabric == fabric)
    return named(inside, ask.names["container"], lambda one: one.name, "container")


def container_words(container: Container) -> str:
    """Return the words by which a container is found in its vault."""
    return f"replicationFabrics/{container.fabric}/replicationProtectionContainers/{container.name}"


def held_by(item: ProtectedItem, fabric: str) -> Container:
    """Return the container that an item is in: its group's, or else the own one of its host's fabric."""
    if item.mapping:
        return Container(item.vault, item.mapping.rpartition("/")[0])
    return Container.own(item.vault, fabric)


def _shapes(ask: Ask, containers: tuple[Container, ...]) -> list[Mapping[str, object]]:
    servers = {one.id: one.fabric for one in ask.service.fabrics.servers(ask.caller, ask.vault)}
    paired = {one.container for one in ask.service.mappings.list(ask.caller, ask.vault)}
    held = Counter(
        held_by(item, servers[item.route.source])
        for item in ask.service.items.list(ask.caller, ask.vault)
        if item.protection is not Protection.UNPROTECTED and item.route.source in servers
    )
    return [_container(ask, one, held[one], one.id in paired) for one in containers]


def _container(ask: Ask, container: Container, items: int, is_paired: bool) -> Mapping[str, object]:
    return resource(
        ask.home,
        container_words(container),
        _TYPE,
        {
            **{"fabricFriendlyName": container.fabric, "friendlyName": container.name, "fabricType": SITE},
            **{"protectedItemCount": items, "pairingStatus": "Paired" if is_paired else "NotPaired"},
            **{"role": "", "fabricSpecificDetails": {"instanceType": SITE}},
        },
    )


_GROUP = "replication_protection_containers"
HANDLERS = {
    f"{_GROUP}.list": list_all,
    f"{_GROUP}.list_by_replication_fabrics": list_all,
    f"{_GROUP}.get": get,
    f"{_GROUP}.create": put,
    f"{_GROUP}.delete": remove,
}
