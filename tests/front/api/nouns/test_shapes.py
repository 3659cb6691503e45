"""Whatever is answered, the official client's own classes know each word of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bascule.model.vault.item import Command
from bascule.model.vault.signs.event import Condition, Event, Health
from tests.control.service.desks import OWNER, ROUTE
from tests.front.api.serving import Client, Served

pytestmark = pytest.mark.lab

CONTAINER = ("site-1", "site-1")


def strangers(value: Any, way: str = "") -> Iterator[str]:
    """Yield the words that a model of the SDK holds and its class does not know, but for our own part."""
    if isinstance(value, list):
        for one in value:
            yield from strangers(one, way)
    if not hasattr(value, "_attr_to_rest_field"):
        return
    fields = value._attr_to_rest_field
    known = {field._rest_name for field in fields.values()} | {"bascule"}
    yield from (f"{way}.{word}" for word in set(value) - known)
    for name, field in fields.items():
        yield from strangers(getattr(value, name), f"{way}.{field._rest_name}")


@pytest.fixture(scope="module")
def client(server: Served) -> Client:
    """A client of a vault with something of each kind in it."""
    with server.node.catalog.writing() as books:
        books.events.add(Event("north", 1e9, "h1", "rpo", Health.CRITICAL, "late", "wait"))
        books.conditions.add(Condition("north", "h1", "silent", Health.CRITICAL, 1e9, "silent", "look"))
    job = server.service.items.enable(OWNER, "north", "shop", ROUTE)
    server.node.settled()
    with server.node.catalog.writing() as books:
        books.conditions.add(Condition("north", job.item, "rpo", Health.WARNING, 1e9, "late", "wait"))
    server.node.sites.fail("start failover", "refused", "no memory")
    for command in (Command.TEST_FAIL_OVER, Command.FAIL_OVER):
        server.service.items.command(OWNER, "north", job.item, command)
        server.node.settled()
    return server.recovery("rita")


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ("replication_fabrics.list", ()),
        ("replication_protection_containers.list", ()),
        ("replication_recovery_services_providers.list", ()),
        ("replication_protectable_items.list_by_replication_protection_containers", CONTAINER),
        ("replication_policies.list", ()),
        ("replication_protected_items.list", ()),
        ("replication_protected_items.list_by_replication_protection_containers", CONTAINER),
        ("recovery_points.list_by_replication_protected_items", (*CONTAINER, "shop")),
        ("replication_jobs.list", ()),
        ("replication_events.list", ()),
    ],
)
def test_every_word_of_an_answer_is_the_sdks(client: Client, operation: str, names: tuple[str, ...]) -> None:
    found: list[Any] = list(client(operation, *names))
    assert found
    assert list(strangers(found)) == []
    assert {type(one.properties).__name__ for one in found} != {"dict"}


def test_every_word_of_a_vaults_health_is_the_sdks(client: Client) -> None:
    health: Any = client("replication_vault_health.get")
    assert health.properties.fabrics_health.issues
    assert list(strangers(health)) == []


def test_what_is_in_a_vault_is_counted(client: Client, server: Served) -> None:
    assert client
    (used,) = server.vaults("rita").replication_usages.list("rg", "north")
    assert (used.protected_item_count, used.registered_servers_count) == (1, 2)
    assert (used.jobs_summary.failed_jobs, used.jobs_summary.in_progress_jobs) == (1, 0)
    assert list(strangers(used)) == []


def test_every_word_of_a_vault_is_the_sdks(server: Served) -> None:
    (vault,) = (one for one in server.vaults().vaults.list_by_subscription_id() if one.name == "north")
    assert list(strangers(vault)) == []
