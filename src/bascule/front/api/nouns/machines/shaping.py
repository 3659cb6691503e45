"""What a recovered machine is to be: its name, its size, where its cards are plugged in (R-FO-4).

Clients say the whole of what they name, and what they do not name stays. What only a public cloud has is
refused, as nothing would come of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bascule.model.errors import Refused
from bascule.model.vault.fabric import check_name
from bascule.model.vault.item import Command, ProtectedItem
from bascule.model.vault.job import Job

from ...answers import Answer, accepted
from ...asking import Ask
from ...errors import TurnedAway
from ...words import sizes
from ..sides.containers import container_of
from .items import Around, found, item_id
from .shown import shape

_DETAILS = ("properties", "providerSpecificDetails")
_CLOUD = (
    *(("properties", word) for word in ("recoveryAvailabilitySetId", "selectedSourceNicId")),
    *(
        (*_DETAILS, word)
        for word in (
            *(
                "targetAvailabilityZone",
                "targetProximityPlacementGroupId",
                "targetCapacityReservationGroupId",
            ),
            *("userSelectedOSName", "targetVmTags", "targetManagedDiskTags", "targetNicTags", "vmDisks"),
            *("diskIdToDiskEncryptionMap", "targetAvailabilitySetId", "diskEncryptionSetId"),
            *("seedManagedDiskTags", "targetVmSecurityProfile", "disksToIncludeForManagedDisks"),
        )
    ),
)
_OF_CARDS = (
    *("recoveryNetworkSecurityGroupId", "tfoNetworkSecurityGroupId", "recoveryNicName", "tfoNicName"),
    *("recoveryNicResourceGroupName", "tfoNicResourceGroupName", "targetNicName"),
)
_OF_ADDRESSES = (
    *("recoveryPublicIPAddressId", "recoveryLBBackendAddressPoolIds", "tfoPublicIPAddressId"),
    "tfoLBBackendAddressPoolIds",
)
_FLAGS = (
    *("enableAcceleratedNetworkingOnRecovery", "enableAcceleratedNetworkingOnTfo", "reuseExistingNic"),
    "tfoReuseExistingNic",
)
_NO_LICENCE = ("", "notspecified", "nolicensetype")


def update(ask: Ask) -> Answer:
    """Have the recovery side keep what a machine is to be."""
    item = found(ask)
    refuse_clouds(ask)
    settings = _over(settings_of(item), _said(ask, item.id), item.id)
    job: Job = ask.service.items.command(
        *(ask.caller, ask.vault, item.id, Command.UPDATE), {"settings": json.dumps(settings)}
    )
    return accepted(ask, job, item_id(ask, container_of(ask), item.name))


def resolve(ask: Ask) -> Answer:
    """Tell that health errors are over; one that is not is over when its cause is."""
    item = found(ask)
    around = Around.of(ask)
    known = {f"{one.subject}:{one.code}".casefold(): one for one in around.conditions.get(item.id, [])}
    for said in ask.each("properties", "healthErrors"):
        error = known.get(said.text("healthErrorId").casefold())
        if error is not None:
            raise Refused(f"{error.message}, still", cure=error.cure, code="not-allowed")
    return Answer(body=shape(ask.home, item, around.near(item)))


def settings_of(item: ProtectedItem) -> Mapping[str, Any]:
    """Return what was kept last of an item: for a failover, and for a test."""
    found: Mapping[str, Any] = json.loads(item.settings) if item.settings else {}
    return {side: found.get(side) or _nothing(item.id) for side in ("failover", "test")}


def network_named(words: str) -> str:
    """Return the network that a client names: by an id, its last word."""
    return words.rstrip("/").rpartition("/")[2]


def _nothing(item: str) -> dict[str, Any]:
    return {"machines": {item: _machine()}, "networks": {}, "network": None}


def _machine() -> dict[str, Any]:
    return {"name": "", "cpus": 0, "memory_mib": 0, "cards": {}}


def _said(ask: Ask, item: str) -> Mapping[str, Any]:
    over, test = _nothing(item), _nothing(item)
    machine = over["machines"][item]
    machine["name"] = ask.text("properties", "recoveryAzureVMName")
    if machine["name"]:
        check_name(machine["name"], "a machine")
    if size := ask.text("properties", "recoveryAzureVMSize"):
        machine["cpus"], machine["memory_mib"] = sizes.meant(size)
    for asked, word in ((over, "selectedRecoveryAzureNetworkId"), (test, "selectedTfoAzureNetworkId")):
        if network := ask.text("properties", word):
            asked["network"] = network_named(network)
    for card, here, there in _cards(ask):
        machine["cards"][card] = here
        test["machines"][item]["cards"][card] = there
    return {"failover": over, "test": test}


def _cards(ask: Ask) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for card in ask.each("properties", "vmNics"):
        _refuse(card, _OF_CARDS, _FLAGS)
        name = card.text("nicId")
        if not name:
            raise TurnedAway("a card of vmNics has no nicId", cure="name it as the machine does")
        configs = card.each("ipConfigs")
        if len(configs) > 1:
            raise TurnedAway(f"card {name} is to have several addresses", cure="one is given out, or none")
        here, there = _card(configs, "recovery"), _card(configs, "tfo")
        if card.text("selectionType").casefold() == "notselected":
            here = {"network": "", "mac": None, "address": None}
        yield name, here, there


def _card(configs: tuple[Ask, ...], side: str) -> dict[str, Any]:
    card: dict[str, Any] = {"network": None, "mac": None, "address": None}
    for config in configs:
        _refuse(config, _OF_ADDRESSES)
        card["network"] = network_named(config.text(f"{side}SubnetName")) or None
        card["address"] = config.text(f"{side}StaticIPAddress") or None
    return card


def _over(before: Mapping[str, Any], said: Mapping[str, Any], item: str) -> Mapping[str, Any]:
    """Return what is kept with what is said above it."""
    after = {}
    for side, old in before.items():
        new, was = said[side]["machines"][item], old["machines"][item]
        cards = dict(was["cards"])
        for name, card in new["cards"].items():
            known = cards.get(name, {})
            cards[name] = {word: known.get(word) if value is None else value for word, value in card.items()}
        sized = {word: new[word] or was[word] for word in ("name", "cpus", "memory_mib")}
        network = old["network"] if said[side]["network"] is None else said[side]["network"]
        after[side] = {**old, "machines": {item: {**sized, "cards": cards}}, "network": network}
    return after


def named_in(item: str, machine: Mapping[str, Any], network: str | None) -> Mapping[str, Any]:
    """Return the settings of an item that say this of its machine for a failover, and nothing for a test."""
    over = {"machines": {item: dict(machine)}, "networks": {}, "network": network}
    return {"failover": over, "test": _nothing(item)}


def refuse_clouds(ask: Ask) -> None:
    """Refuse what a body says of a public cloud only."""
    for way in _CLOUD:
        if ask.has(*way) and ask.value(*way) not in ("", {}, []):
            _not_here(".".join(way))
    for way in (
        ("properties", "licenseType"),
        (*_DETAILS, "sqlServerLicenseType"),
        (*_DETAILS, "linuxLicenseType"),
    ):
        if ask.text(*way).casefold() not in _NO_LICENCE:
            _not_here(".".join(way))
    for way in (("properties",), _DETAILS):
        if ask.text(*way, "enableRdpOnTargetOption", default="Never").casefold() != "never":
            _not_here(".".join((*way, "enableRdpOnTargetOption")))


def _refuse(ask: Ask, words: tuple[str, ...], flags: tuple[str, ...] = ()) -> None:
    for word in words:
        if ask.has(word) and ask.value(word) not in ("", []):
            _not_here(word)
    for word in flags:
        if ask.flag(word):
            _not_here(word)


def _not_here(word: str) -> None:
    raise TurnedAway(
        f"{word} is of a public cloud, and this is none", cure="leave it out", code="not-of-this-kind"
    )


_GROUP = "replication_protected_items"
HANDLERS = {f"{_GROUP}.update": update, f"{_GROUP}.resolve_health_errors": resolve}
