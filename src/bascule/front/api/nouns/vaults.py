"""Vaults. They are the owner's to make and to remove; a server has one subscription."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from bascule.model.errors import Exists, Refused
from bascule.model.vault.item import Protection
from bascule.model.vault.job import JobState
from bascule.model.vault.signs.event import Health
from bascule.model.vault.vault import LOCATION, Vault

from ..answers import Answer, page
from ..asking import Ask, bad_body
from ..naming import TYPE, vault_id

_NO_LIMIT = 2**31 - 1
OF_ANY_GROUP = frozenset({"vaults.create_or_update", "vaults.delete"})
"""What tells by itself that a vault is in another resource group than the one that is named."""


def list_all(ask: Ask) -> Answer:
    """Return the vaults that the caller may see: all, or those of a resource group."""
    found = ask.service.vaults.list(ask.caller)
    if "group" in ask.names:
        found = tuple(one for one in found if one.is_in(ask.names["group"]))
    return page(ask, (_vault(ask, one) for one in found))


def get(ask: Ask) -> Answer:
    """Return a vault."""
    return Answer(body=_vault(ask, ask.service.vaults.get(ask.caller, ask.vault)))


def put(ask: Ask) -> Answer:
    """Make a vault, or note of one what is said now; where it belongs stays as it is."""
    known = ask.service.vaults.meant(ask.caller, ask.vault)
    group, location = ask.names["group"], ask.text("location", default=LOCATION)
    if known is None:
        made = Vault(
            ask.vault, group, location, ask.text("sku", "name", default="Standard"), _tags(ask) or {}
        )
        ask.service.vaults.create(ask.caller, made)
        return Answer(201, _vault(ask, made))
    if not known.is_in(group) or _place(known.location) != _place(location):
        raise Exists(
            f"there is a vault {known.name} in the resource group {known.group} in {known.location}",
            cure="choose another name: those of vaults are of the whole server",
            code="invalid-resource-location",
        )
    return _noted(ask, known, _tags(ask) or {})


def patch(ask: Ask) -> Answer:
    """Note what is said of a vault."""
    known = ask.service.vaults.get(ask.caller, ask.vault)
    tags = _tags(ask)
    return _noted(ask, known, known.tags if tags is None else tags)


def delete(ask: Ask) -> Answer:
    """Remove an empty vault; nothing is removed of one that is not there."""
    known = ask.service.vaults.meant(ask.caller, ask.vault)
    is_there = known is not None and known.is_in(ask.names["group"])
    if is_there or not ask.caller.is_owner:
        ask.service.vaults.remove(ask.caller, ask.vault)
    return Answer(204)


def usages(ask: Ask) -> Answer:
    """Return how much there is in a vault, and what is wrong there."""
    service, caller, vault = ask.service, ask.caller, ask.vault
    items = [one for one in service.items.list(caller, vault) if one.protection is not Protection.UNPROTECTED]
    health = Counter(one.health for one in service.signs.conditions(caller, vault))
    jobs = Counter(one.state for one in service.jobs.list(caller, vault))
    servers = [one for one in service.fabrics.servers(caller, vault) if not one.is_revoked]
    used = {
        "monitoringSummary": {
            "unHealthyVmCount": health[Health.CRITICAL],
            "eventsCount": health.total(),
        },
        "jobsSummary": {
            "failedJobs": jobs[JobState.FAILED],
            "suspendedJobs": jobs[JobState.WAITING],
            "inProgressJobs": jobs[JobState.RUNNING] + jobs[JobState.QUEUED],
        },
        **{"protectedItemCount": len(items), "recoveryPlanCount": len(service.plans.list(caller, vault))},
        **{"registeredServersCount": len(servers), "recoveryServicesProviderAuthType": 0},
    }
    return page(ask, (used,))


def limits(ask: Ask) -> Answer:
    """Return how much of what is limited there is in a vault; nothing is limited but by the machine."""
    items = ask.service.items.list(ask.caller, ask.vault)
    counts = {
        "ProtectedItems": sum(one.protection is not Protection.UNPROTECTED for one in items),
        "RegisteredServers": sum(
            not one.is_revoked for one in ask.service.fabrics.servers(ask.caller, ask.vault)
        ),
    }
    return page(
        ask,
        (
            {
                **{"unit": "Count", "currentValue": count, "limit": _NO_LIMIT, "quotaPeriod": "P1D"},
                "name": {"value": name, "localizedValue": name},
            }
            for name, count in counts.items()
        ),
    )


def is_free(ask: Ask) -> Answer:
    """Tell whether a vault may be called so."""
    name = ask.text("name")
    said: Mapping[str, object] = {"nameAvailable": True, "reason": None, "message": None}
    try:
        Vault(name)
    except Refused as error:
        said = {"nameAvailable": False, "reason": "Invalid", "message": f"{error.message}: {error.cure}"}
    if ask.service.vaults.meant(ask.caller, name) is not None:
        message = f"there is a vault called {name} on this server"
        said = {"nameAvailable": False, "reason": "AlreadyExists", "message": message}
    return Answer(body=said)


def _noted(ask: Ask, known: Vault, tags: Mapping[str, str]) -> Answer:
    sku = ask.text("sku", "name", default=known.sku)
    if (sku, tags) != (known.sku, known.tags):
        known = ask.service.vaults.note(ask.caller, known.name, sku, tags)
    return Answer(body=_vault(ask, known))


def _tags(ask: Ask) -> Mapping[str, str] | None:
    said = ask.body.get("tags")
    if said is None:
        return None
    if not isinstance(said, Mapping):
        bad_body("tags are no object")
    return {name: ask.text("tags", name) for name in said}


def _place(location: str) -> str:
    return location.replace(" ", "").casefold()


def _vault(ask: Ask, vault: Vault) -> Mapping[str, object]:
    marked = hashlib.sha256(repr(vault).encode()).hexdigest()[:16]
    return {
        "id": vault_id(ask.names["subscription"], vault.group, vault.name),
        **{"name": vault.name, "type": TYPE, "location": vault.location, "tags": vault.tags},
        **{"etag": f'W/"{marked}"', "sku": {"name": vault.sku, "tier": vault.sku}},
        "properties": {
            **{"provisioningState": "Succeeded", "publicNetworkAccess": "Enabled"},
            **{"privateEndpointConnections": [], "privateEndpointStateForSiteRecovery": "None"},
        },
    }


HANDLERS = {
    "vaults.list_by_subscription_id": list_all,
    "vaults.list_by_resource_group": list_all,
    "vaults.get": get,
    "vaults.create_or_update": put,
    "vaults.update": patch,
    "vaults.delete": delete,
    "usages.list_by_vaults": limits,
    "recovery_services.check_name_availability": is_free,
    "replication_usages.list": usages,
}
