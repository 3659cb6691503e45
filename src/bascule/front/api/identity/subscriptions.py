"""The one subscription and the one tenant of a server: both are called by the server's id."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.control.service.gate import Call
from bascule.model.vault.access import Right

from ..answers import Answer, page
from ..asking import Ask

_NAME = "Bascule"


def subscriptions(ask: Ask) -> Answer:
    """Return the subscription, as a list."""
    _seen(ask)
    return page(ask, (_subscription(ask.desks.identity.server),))


def subscription(ask: Ask) -> Answer:
    """Return the subscription."""
    _seen(ask)
    return Answer(body=_subscription(ask.desks.identity.server))


def tenants(ask: Ask) -> Answer:
    """Return the tenant, as a list."""
    _seen(ask)
    server = ask.desks.identity.server
    return page(
        ask,
        (
            {
                **{"id": f"/tenants/{server}", "tenantId": server, "displayName": _NAME},
                **{"tenantCategory": "Home", "domains": [], "countryCode": None},
            },
        ),
    )


def _seen(ask: Ask) -> None:
    """Have the call written down: no desk is asked here, which would."""
    ask.service.gate.seen(Call(ask.caller, "show-server", "", Right.READ))


def _subscription(server: str) -> Mapping[str, object]:
    return {
        **{"id": f"/subscriptions/{server}", "subscriptionId": server, "tenantId": server},
        **{"displayName": _NAME, "state": "Enabled", "authorizationSource": "RoleBased"},
        **{"subscriptionPolicies": {"locationPlacementId": "", "quotaId": "", "spendingLimit": "Off"}},
        **{"managedByTenants": [], "tags": {}},
    }


HANDLERS = {
    "subscriptions.list": subscriptions,
    "subscriptions.get": subscription,
    "subscriptions.tenants": tenants,
}
