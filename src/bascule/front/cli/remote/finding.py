"""What a name means on the server: its place in the tree of a vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bascule.model.errors import Missing, Refused

from .options import properties
from .server import Server

Document = Mapping[str, Any]


class Place(NamedTuple):
    """Where an item is: the names by which the SDK asks for it."""

    fabric: str
    container: str
    item: str


def item(server: Server, name: str) -> tuple[Place, Document]:
    """Return an item by its name, or by SITE/NAME."""
    site, _, plain = name.rpartition("/")
    for container in server.all("replication_protection_containers.list"):
        fabric = fabric_of(container)
        if site not in ("", fabric, container["name"]):
            continue
        found = server.find("replication_protected_items.get", fabric, container["name"], plain)
        if found is not None:
            return Place(fabric, str(container["name"]), str(found["name"])), found
    raise Missing(
        f"vault {server.vault} protects nothing called {name}", cure="`bascule item ls` shows what there is"
    )


def hosts(server: Server) -> list[Document]:
    """Return the hosts of the vault."""
    return server.all("replication_recovery_services_providers.list")


def host(server: Server, name: str) -> Document:
    """Return a host by its name or its id."""
    known = hosts(server)
    found = [one for one in known if name in (one["name"], properties(one)["friendlyName"])]
    living = [one for one in found if properties(one).get("connectionStatus") != "Revoked"] or found
    if not living:
        names = ", ".join(str(properties(one)["friendlyName"]) for one in known)
        raise Missing(
            f"vault {server.vault} knows no host {name}",
            cure=f"choose of {names}" if names else "let it join: `bascule site key`",
        )
    if len(living) > 1:
        ids = ", ".join(str(one["name"]) for one in living)
        raise Refused(
            f"{len(living)} hosts are called {name}", cure=f"name one by its id: {ids}", code="ambiguous"
        )
    return living[0]


def target(server: Server, recovery: str, store: str, key_file: str) -> dict[str, str]:
    """Return where machines lead to, in words of ours: what is not said is left out."""
    said = {
        "recoveryServicesProviderId": str(host(server, recovery)["id"]) if recovery else "",
        **{"store": store, "keyFile": key_file},
    }
    return {word: value for word, value in said.items() if value}


def has_group(server: Server, fabric: str, policy: str) -> bool:
    """Has a site a protection group with a policy, which says where its machines lead?"""
    group = "replication_protection_container_mappings.list_by_replication_protection_containers"
    known = server.all(group, fabric, fabric)
    return any(str(properties(one)["policyFriendlyName"]).casefold() == policy.casefold() for one in known)


def settings_of(server: Server, fabric: str) -> dict[str, str]:
    """Return where the machines of a site lead, as was said for it or for its vault."""
    said: dict[str, str] = {}
    for path in ("basculeRecoverySettings", f"replicationFabrics/{fabric}/basculeRecoverySettings"):
        try:
            found = properties(server.send("GET", path))
        except Missing:
            continue
        said |= {word: str(value) for word, value in found.items() if value}
    if "recoveryServicesProviderId" not in said:
        raise Refused(
            f"who takes over the machines of {fabric} is not said",
            cure=f"name the host with --to, or once for all: `bascule site leads {fabric}`",
            code="no-target",
        )
    return said


def fabric_of(one: Document) -> str:
    """Return the fabric that something is in, by its id."""
    words = str(one["id"]).split("/")
    return words[[word.casefold() for word in words].index("replicationfabrics") + 1]


def machines(server: Server, fabric: str) -> list[Document]:
    """Return the machines of a site that could be protected."""
    group = "replication_protectable_items.list_by_replication_protection_containers"
    return server.all(group, fabric, fabric)


def machine(server: Server, on: Document, name: str) -> Document:
    """Return a machine of a host, by what the host calls it or by the part behind the ``#``."""
    known = [
        one
        for one in machines(server, fabric_of(on))
        if last(properties(one)["recoveryServicesProviderId"]) == on["name"]
    ]
    called = {str(properties(one)["friendlyName"]): one for one in known}
    plain = [text for text in called if text.rpartition("#")[2] == name]
    if name in called:
        return called[name]
    if len(plain) == 1:
        return called[plain[0]]
    where = properties(on)["friendlyName"]
    if plain:
        raise Refused(
            f"{where} has {len(plain)} machines called {name}",
            cure=f"choose of {', '.join(plain)}",
            code="ambiguous",
        )
    raise Missing(
        f"{where} has no machine {name}",
        cure=f"choose of {', '.join(sorted(called))}" if called else "its provider has to run, with --host",
    )


def last(id: object) -> str:
    """Return the name at the end of an id."""
    return str(id).rpartition("/")[2]
