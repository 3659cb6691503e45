"""Vaults. They are the owner's to make and to remove; a server has one subscription and one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bascule.model.vault.item import Protection
from bascule.model.vault.job import JobState
from bascule.model.vault.signs.event import Health
from bascule.model.vault.vault import Vault

from ..answers import Answer, page
from ..asking import Ask
from ..naming import GROUP, TYPE, vault_id

LOCATION = "onpremises"


def list_all(ask: Ask) -> Answer:
    """Return the vaults that the caller may see."""
    group = ask.names.get("group", GROUP)
    return page(ask, (_vault(ask, one.name, group) for one in ask.service.vaults.list(ask.caller)))


def get(ask: Ask) -> Answer:
    """Return a vault."""
    return Answer(body=_vault(ask, ask.service.vaults.get(ask.caller, ask.vault).name, ask.names["group"]))


def put(ask: Ask) -> Answer:
    """Make a vault, or find it as it is."""
    known = _known(ask)
    if known is None:
        known = ask.service.vaults.create(ask.caller, ask.vault)
        return Answer(201, _vault(ask, known.name, ask.names["group"]))
    return get(ask)


def delete(ask: Ask) -> Answer:
    """Remove an empty vault; nothing is removed of one that is not there."""
    if _known(ask) is not None or not ask.caller.is_owner:
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
        **{"protectedItemCount": len(items), "recoveryPlanCount": 0},
        **{"registeredServersCount": len(servers), "recoveryServicesProviderAuthType": 0},
    }
    return page(ask, (used,))


def _known(ask: Ask) -> Vault | None:
    return next((one for one in ask.service.vaults.list(ask.caller) if one.name == ask.vault), None)


def _vault(ask: Ask, name: str, group: str) -> Mapping[str, object]:
    return {
        "id": vault_id(ask.names["subscription"], group, name),
        **{"name": name, "type": TYPE, "location": LOCATION, "tags": {}, "etag": f'W/"{name}"'},
        "sku": {"name": "Standard", "tier": "Standard"},
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
    "vaults.delete": delete,
    "replication_usages.list": usages,
}
