"""Sites of hosts as fabrics of the kind HyperVSite; hosts as services providers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from uuid import UUID

from bascule.model.vault.fabric import Fabric, Server

from ...answers import Answer, moment, page
from ...asking import Ask
from ...errors import TurnedAway
from ...naming import named, resource

SITE = "HyperVSite"
_KINDS = ("", SITE, "FabricSpecificCreationInput")
"""What clients send to make a site: Terraform the one, PowerShell the other."""


def list_fabrics(ask: Ask) -> Answer:
    """Return the fabrics of a vault."""
    servers = ask.service.fabrics.servers(ask.caller, ask.vault)
    found = ask.service.fabrics.list(ask.caller, ask.vault)
    return page(ask, (_fabric(ask, one, servers) for one in found))


def get_fabric(ask: Ask) -> Answer:
    """Return a fabric."""
    servers = ask.service.fabrics.servers(ask.caller, ask.vault)
    return Answer(body=_fabric(ask, fabric_of(ask), servers))


def put_fabric(ask: Ask) -> Answer:
    """Make a site, or find it as it is."""
    kind = ask.text("properties", "customDetails", "instanceType")
    if kind not in _KINDS:
        raise TurnedAway(
            f"fabrics of the kind {kind[:64]} are not built yet", cure=f"make one of {SITE}", code="not-yet"
        )
    known = ask.service.fabrics.list(ask.caller, ask.vault)
    alike = [one for one in known if one.id.casefold() == ask.names["fabric"].casefold()]
    made = alike[0] if alike else ask.service.fabrics.create(ask.caller, ask.vault, ask.names["fabric"])
    return Answer(body=_fabric(ask, made, ask.service.fabrics.servers(ask.caller, ask.vault)))


def remove_fabric(ask: Ask) -> Answer:
    """Remove a site without hosts."""
    ask.service.fabrics.remove(ask.caller, ask.vault, fabric_of(ask).id)
    return Answer(204)


def stay(ask: Ask) -> Answer:
    """Leave a site as it is: programs sign in here in one way, and it is that one."""
    fabric_of(ask)
    return Answer(204)


def list_servers(ask: Ask) -> Answer:
    """Return the hosts of a vault, or those of a fabric."""
    found = ask.service.fabrics.servers(ask.caller, ask.vault)
    if "fabric" in ask.names:
        fabric = fabric_of(ask).id
        found = tuple(one for one in found if one.fabric == fabric)
    return page(ask, (_server(ask, one) for one in found))


def get_server(ask: Ask) -> Answer:
    """Return a host."""
    return Answer(body=_server(ask, _found_server(ask)))


def remove_server(ask: Ask) -> Answer:
    """Let a host in no more."""
    ask.service.fabrics.revoke(ask.caller, ask.vault, _found_server(ask).id)
    return Answer(204)


def remove_identity(ask: Ask) -> Answer:
    """Let a host in no more that is named by what it is registered as."""
    known = ask.service.fabrics.servers(ask.caller, ask.vault)
    wanted = ask.names["identity"].casefold()
    found = named(
        (one for one in known if wanted in (one.id.casefold(), one.name.casefold())),
        *(ask.names["identity"], lambda _one: ask.names["identity"], "registered host"),
    )
    ask.service.fabrics.revoke(ask.caller, ask.vault, found.id)
    return Answer(204)


def fabric_of(ask: Ask) -> Fabric:
    """Return the fabric that a path names."""
    known = ask.service.fabrics.list(ask.caller, ask.vault)
    return named(known, ask.names["fabric"], lambda one: one.id, "fabric")


def server_words(server: Server) -> str:
    """Return the words by which a host is found in its vault."""
    return f"replicationFabrics/{server.fabric}/replicationRecoveryServicesProviders/{server.id}"


def guid(*words: str) -> str:
    """Return a name of the form that clients expect of machines and sites, always the same for the same."""
    return str(UUID(bytes=hashlib.sha256("\n".join(words).encode()).digest()[:16], version=4))


def _found_server(ask: Ask) -> Server:
    fabric = fabric_of(ask).id
    known = ask.service.fabrics.servers(ask.caller, ask.vault)
    return named(
        (one for one in known if one.fabric == fabric), ask.names["server"], lambda one: one.id, "server"
    )


def _fabric(ask: Ask, fabric: Fabric, servers: tuple[Server, ...]) -> Mapping[str, object]:
    hosts = [
        {"id": f"{ask.home}/{server_words(one)}", "name": one.name, "marsAgentVersion": None}
        for one in servers
        if one.fabric == fabric.id and not one.is_revoked
    ]
    nothing = {"kekState": "None", "kekCertThumbprint": None, "kekCertExpiryDate": None}
    return resource(
        ask.home,
        f"replicationFabrics/{fabric.id}",
        "replicationFabrics",
        {
            **{"friendlyName": fabric.id, "internalIdentifier": guid(fabric.vault, fabric.id)},
            **{"encryptionDetails": nothing, "rolloverEncryptionDetails": nothing, "bcdrState": "Valid"},
            "customDetails": {"instanceType": SITE, "hyperVHosts": hosts},
            **{"healthErrorDetails": [], "health": "Normal"},
        },
    )


def _server(ask: Ask, server: Server) -> Mapping[str, object]:
    return resource(
        ask.home,
        server_words(server),
        "replicationFabrics/replicationRecoveryServicesProviders",
        {
            **{"fabricType": SITE, "friendlyName": server.name, "fabricFriendlyName": server.fabric},
            **{"draIdentifier": server.id, "machineId": server.id, "machineName": server.name},
            "connectionStatus": "Revoked" if server.is_revoked else "Connected",
            **{"lastHeartBeat": moment(server.registered_at), "healthErrorDetails": []},
            "allowedScenarios": [],
        },
    )


HANDLERS = {
    "replication_fabrics.list": list_fabrics,
    "replication_fabrics.get": get_fabric,
    "replication_fabrics.create": put_fabric,
    "replication_fabrics.delete": remove_fabric,
    "replication_fabrics.purge": remove_fabric,
    "replication_fabrics.check_consistency": get_fabric,
    "replication_fabrics.migrate_to_aad": stay,
    "replication_recovery_services_providers.list": list_servers,
    "replication_recovery_services_providers.list_by_replication_fabrics": list_servers,
    "replication_recovery_services_providers.get": get_server,
    "replication_recovery_services_providers.delete": remove_server,
    "replication_recovery_services_providers.purge": remove_server,
    "replication_recovery_services_providers.refresh_provider": get_server,
    "registered_identities.delete": remove_identity,
}
