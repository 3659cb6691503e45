"""Container mappings, which are protection groups: a container with a policy and a target (R-W-9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bascule.model.errors import Missing
from bascule.model.vault.sides.pairing import AZURE, Container, ContainerMapping

from ...answers import Answer, page
from ...asking import Ask
from ...errors import TurnedAway
from ...naming import KIND, meant, named, resource
from .containers import container_of, container_words
from .targets import target_in, words_of

_INPUT = ("properties", "providerSpecificInput")
_CONTAINERS = "replicationProtectionContainers"
_TYPE = f"replicationFabrics/{_CONTAINERS}/replicationProtectionContainerMappings"


def list_all(ask: Ask) -> Answer:
    """Return the groups of a vault, or those of a container."""
    found = ask.service.mappings.list(ask.caller, ask.vault)
    if "container" in ask.names:
        container = container_of(ask).id
        found = tuple(one for one in found if one.container == container)
    return page(ask, (_mapping(ask, one) for one in found))


def get(ask: Ask) -> Answer:
    """Return a group."""
    return Answer(body=_mapping(ask, _found(ask)))


def put(ask: Ask) -> Answer:
    """Make a group, or change what is said of one."""
    _check_kind(ask)
    container = container_of(ask)
    policy = meant(ask, ask.text("properties", "policyId"), "replicationPolicies")
    known = ask.service.policies.list(ask.caller, ask.vault)
    policy = named(known, policy, lambda one: one.id, "policy").id
    try:
        before = _found(ask)
    except Missing:
        before = ContainerMapping(ask.vault, f"{container.id}/{ask.names['mapping']}", policy)
    wanted = replace(before, policy=policy, leads_to=_leads_to(ask))
    return _put(ask, wanted)


def patch(ask: Ask) -> Answer:
    """Change what a group says of its target."""
    _check_kind(ask)
    return _put(ask, _found(ask))


def remove(ask: Ask) -> Answer:
    """Remove a group without machines."""
    ask.service.mappings.remove(ask.caller, ask.vault, _found(ask).id)
    return Answer(204)


def _put(ask: Ask, mapping: ContainerMapping) -> Answer:
    aimed = mapping.aimed(target_in(ask, *_INPUT, "bascule"))
    return Answer(body=_mapping(ask, ask.service.mappings.put(ask.caller, aimed)))


def _leads_to(ask: Ask) -> str:
    said = ask.text("properties", "targetProtectionContainerId", default=AZURE)
    if said.casefold() == AZURE.casefold():
        return AZURE
    meant(ask, said, _CONTAINERS)
    fabric, _, name = said.rsplit("/", 3)[-3:]
    known = ask.service.containers.list(ask.caller, ask.vault)
    return named(known, f"{fabric}/{name}", lambda one: one.id, "container").id


def _found(ask: Ask) -> ContainerMapping:
    container = container_of(ask).id
    known = ask.service.mappings.list(ask.caller, ask.vault)
    inside = (one for one in known if one.container == container)
    return named(inside, ask.names["mapping"], lambda one: one.name, "container mapping")


def _check_kind(ask: Ask) -> None:
    kind = ask.text(*_INPUT, "instanceType", default=KIND)
    if kind != KIND:
        raise TurnedAway(
            f"groups of the kind {kind[:64]} are not built yet", cure=f"name {KIND}", code="not-yet"
        )


def _mapping(ask: Ask, one: ContainerMapping) -> Mapping[str, object]:
    source = Container(one.vault, one.container)
    target_id, target, site = AZURE, AZURE, AZURE
    if one.leads_to != AZURE:
        there = Container(one.vault, one.leads_to)
        target_id, target, site = f"{ask.home}/{container_words(there)}", there.name, there.fabric
    return resource(
        ask.home,
        f"{container_words(source)}/replicationProtectionContainerMappings/{one.name}",
        _TYPE,
        {
            **{"targetProtectionContainerId": target_id, "targetProtectionContainerFriendlyName": target},
            **{"targetFabricFriendlyName": site, "sourceFabricFriendlyName": source.fabric},
            "sourceProtectionContainerFriendlyName": source.name,
            **{"policyId": f"{ask.home}/replicationPolicies/{one.policy}", "policyFriendlyName": one.policy},
            **{"state": "Paired", "health": "Normal", "healthErrorDetails": []},
            "providerSpecificDetails": {"instanceType": KIND, "bascule": words_of(ask, one.target)},
        },
    )


_GROUP = "replication_protection_container_mappings"
HANDLERS = {
    f"{_GROUP}.list": list_all,
    f"{_GROUP}.list_by_replication_protection_containers": list_all,
    f"{_GROUP}.get": get,
    f"{_GROUP}.create": put,
    f"{_GROUP}.update": patch,
    f"{_GROUP}.delete": remove,
    f"{_GROUP}.purge": remove,
}
