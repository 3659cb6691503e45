"""What Azure has no word for: the host that takes over, and the store with its key that both hosts open.

It is said in ``bascule`` of a group or of a machine, or once for a site or a vault, in an operation of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.vault.sides.pairing import EVERYWHERE, RecoverySettings, Target

from ...answers import Answer
from ...asking import Ask
from ...naming import meant, resource
from .fabrics import fabric_of, server_words

_KIND = "basculeRecoverySettings"
_HOSTS = "replicationRecoveryServicesProviders"


def target_in(ask: Ask, *way: str) -> Target:
    """Return the target that a body says there; what it leaves out is empty."""
    host = ask.text(*way, "recoveryServicesProviderId")
    return Target(
        meant(ask, host, _HOSTS) if host else "", ask.text(*way, "store"), ask.text(*way, "keyFile")
    )


def words_of(ask: Ask, target: Target) -> Mapping[str, object]:
    """Return a target as it is shown."""
    servers = ask.service.fabrics.servers(ask.caller, ask.vault)
    host = next((f"{ask.home}/{server_words(one)}" for one in servers if one.id == target.host), None)
    return {
        "recoveryServicesProviderId": host,
        **{"store": target.store or None, "keyFile": target.key_file or None},
    }


def get(ask: Ask) -> Answer:
    """Return what was said for a vault, or for a site."""
    return Answer(body=_shape(ask, ask.service.recovery.get(ask.caller, ask.vault, _site(ask))))


def put(ask: Ask) -> Answer:
    """Say it anew."""
    target = target_in(ask, "properties")
    return Answer(body=_shape(ask, ask.service.recovery.put(ask.caller, ask.vault, _site(ask), target)))


def remove(ask: Ask) -> Answer:
    """Say nothing any more."""
    ask.service.recovery.remove(ask.caller, ask.vault, _site(ask))
    return Answer(204)


def _site(ask: Ask) -> str:
    return fabric_of(ask).id if "fabric" in ask.names else EVERYWHERE


def _shape(ask: Ask, said: RecoverySettings) -> Mapping[str, object]:
    at = "" if said.id == EVERYWHERE else f"replicationFabrics/{said.id}/"
    return resource(ask.home, f"{at}{_KIND}", _KIND, words_of(ask, said.target))


HANDLERS = {
    "recovery_settings.get": get,
    "recovery_settings.put": put,
    "recovery_settings.remove": remove,
    "recovery_settings.get_of_site": get,
    "recovery_settings.put_of_site": put,
    "recovery_settings.remove_of_site": remove,
}
