"""What a site of hosts has none of, or does itself: lists are empty, the rest is refused with the reason.

These operations are for VMware sites and for VMM servers, which are other kinds of fabrics.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bascule.model.errors import Missing

from ..answers import Answer, page
from ..asking import Ask
from ..errors import TurnedAway
from .sides.fabrics import fabric_of


def nothing(ask: Ask) -> Answer:
    """Return an empty list."""
    _look(ask)
    return page(ask, ())


def missing(ask: Ask, what: str) -> Answer:
    """Tell that there is none of it."""
    _look(ask)
    raise Missing(f"{ask.names['fabric']} has no {what}", cure="list what there is: a site of hosts has none")


def gone(ask: Ask) -> Answer:
    """Tell that it is gone, as it never was."""
    _look(ask)
    return Answer(204)


def refused(ask: Ask, why: str, cure: str = "") -> Answer:
    """Tell why it cannot be."""
    _look(ask)
    raise TurnedAway(why, cure=cure, code="not-of-this-kind")


def _look(ask: Ask) -> None:
    """See that the caller may, and that the fabric is there."""
    if "fabric" in ask.names:
        fabric_of(ask)
    else:
        ask.service.fabrics.list(ask.caller, ask.vault)


def _of(what: str) -> Callable[[Ask], Answer]:
    return partial(missing, what=what)


def _no(why: str, cure: str = "") -> Callable[[Ask], Answer]:
    return partial(refused, why=why, cure=cure)


_NO_CENTER = _no(
    "a vCenter is added to a VMware site, and this site is of hosts", "let its hosts join by themselves"
)
_NO_STORAGE = _no(
    "storage is classified by VMM servers, and this site is of hosts", "a store is named with the item"
)
_NO_MAPPING = _no(
    "networks are mapped between VMM clouds; of a site of hosts each machine says in which it is to be",
    "name it with the machine: targetAzureNetworkId when it is enabled, selectedRecoveryAzureNetworkId later",
)
_NO_GATEWAY = _no("a site of hosts has no process servers", "its hosts send to the store themselves")

HANDLERS = {
    "replication_v_centers.list": nothing,
    "replication_v_centers.list_by_replication_fabrics": nothing,
    "replication_v_centers.get": _of("vCenter"),
    "replication_v_centers.create": _NO_CENTER,
    "replication_v_centers.update": _of("vCenter"),
    "replication_v_centers.delete": gone,
    "replication_networks.list": nothing,
    "replication_networks.list_by_replication_fabrics": nothing,
    "replication_networks.get": _of("network that can be mapped"),
    "replication_network_mappings.list": nothing,
    "replication_network_mappings.list_by_replication_networks": nothing,
    "replication_network_mappings.get": _of("network mapping"),
    "replication_network_mappings.create": _NO_MAPPING,
    "replication_network_mappings.update": _of("network mapping"),
    "replication_network_mappings.delete": gone,
    "replication_logical_networks.list_by_replication_fabrics": nothing,
    "replication_logical_networks.get": _of("logical network"),
    "replication_storage_classifications.list": nothing,
    "replication_storage_classifications.list_by_replication_fabrics": nothing,
    "replication_storage_classifications.get": _of("storage classification"),
    "replication_storage_classification_mappings.list": nothing,
    "replication_storage_classification_mappings.list_by_replication_storage_classifications": nothing,
    "replication_storage_classification_mappings.get": _of("storage classification"),
    "replication_storage_classification_mappings.create": _NO_STORAGE,
    "replication_storage_classification_mappings.delete": gone,
    "replication_fabrics.reassociate_gateway": _NO_GATEWAY,
    "replication_fabrics.remove_infra": _NO_GATEWAY,
    "replication_fabrics.renew_certificate": _no(
        "hosts renew their certificates by themselves, when a third of the time is left",
        "to have a host begin anew, make a registration key for it: basculeRegistrationKeys",
    ),
    "replication_recovery_services_providers.create": _no(
        "a host joins by a registration key, which nobody but the host can use",
        "make one: POST …/basculeRegistrationKeys, and `bascule provider register` on the host",
    ),
    "replication_protected_items.update_mobility_service": _no(
        "nothing is installed in machines of a site of hosts, so there is no mobility service to update"
    ),
}
