"""A site of hosts to Azure, and home again: the calls and bodies that clients send there, sent here (R-OP-4).

Nothing of our own is in them. What Azure has no word for was said once before, for the vault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from bascule.model.vault.fabric import ProtectableItem, Server
from bascule.model.vault.item import Command
from bascule.model.vault.sides.pairing import EVERYWHERE, Target
from bascule.model.vault.signs.disk import Disk
from tests.control.service.desks import OWNER
from tests.front.api.scripts import ITEMS, JOBS, Script
from tests.front.api.serving import Served


def hosts(server: Served) -> None:
    """What is there beside the calls: hosts of the site, a machine, and what the vault was told."""
    with server.node.catalog.writing() as books:
        for host in ("P1", "P2", "P3"):
            books.servers.put(Server("north", host, "site1", host, 1.0))
        disks = (Disk("disk0", 64 << 20, False), Disk("disk1", 1 << 30, False))
        books.protectable.put(ProtectableItem("north", "P1/one#hv1", "site1", "P1", "one#hv1", disks))
    server.service.recovery.put(OWNER, "north", EVERYWHERE, Target("P3", "/points", "/key"))


def gone(server: Served) -> None:
    """Take the hosts back that registered with no door."""
    with server.node.catalog.writing() as books:
        for one in books.servers.list("north"):
            if one.fabric == "site1":
                books.servers.remove("north", one.id)
        for machine in books.protectable.list("north"):
            if machine.fabric == "site1":
                books.protectable.remove("north", machine.id)


@pytest.fixture
def script(server: Served) -> Iterator[Script]:
    ids = {"SUB": server.identity.server, "/vaults/v1": "/vaults/north"}
    yield Script(server.recovery(), ids)
    server.node.settled()
    for item in server.service.items.list(OWNER, "north"):
        for command in (Command.CANCEL, Command.DISABLE):
            server.try_to(item.id, command)
    gone(server)


@pytest.mark.lab
def test_a_script_for_azure_protects_moves_and_brings_home_a_machine_here(
    server: Served, script: Script
) -> None:
    client = script.client
    script.prepare()
    hosts(server)
    script.find()
    script.do("create", "enable")
    for job in client(f"{JOBS}.list", filter="AffectedObjectTypes eq 'ProtectionEntity'"):
        assert job.properties.target_object_name == "hv1"
    server.node.settled()
    assert script.stands() == ("Protected", "Primary")
    kept = server.service.items.named(OWNER, "north", "hv1")
    assert (kept.route.recovery, kept.route.store, kept.route.disks) == ("P3", "/points", ("disk0", "disk1"))
    assert '"network": "vnet"' in kept.settings
    script.do("repair_replication")

    script.do("planned_failover", "planned")
    assert script.stands()[1] == "Recovery"
    script.do("failover_cancel")
    assert script.stands() == ("Protected", "Primary")

    oldest, newest = script.choose_points()
    failed = script.do("unplanned_failover", "unplanned")
    assert failed.properties.failover_recovery_point_id.endswith(f"/{oldest.rpartition('.')[2]}")
    changed = script.do("apply_recovery_point", "point")
    assert changed.properties.failover_recovery_point_id.endswith(f"/{newest.rpartition('.')[2]}")
    script.do("failover_commit")
    said: Any = client(f"{ITEMS}.get", *script.item)
    assert "Failback" in said.properties.allowed_operations

    assert script.come_home() == "Primary"
    script.do("failover_commit")
    script.do("reprotect", "reprotect")
    server.node.settled()
    assert script.stands() == ("Protected", "Primary")

    script.do("planned_failover", "planned")
    script.do("failover_commit")
    assert script.do("planned_failover", "elsewhere").properties.active_location == "Primary"
    script.do("failover_commit")
    assert server.service.items.named(OWNER, "north", "hv1").route.source == "P2"

    script.do("delete", "remove")
    with pytest.raises(ResourceNotFoundError):
        client(f"{ITEMS}.get", *script.item)
    group = "replication_protection_container_mappings.begin_delete"
    client(group, "site1", script.placeholders["cloud_S"], "map1", script.body("unmap")).result()
    client("replication_policies.begin_delete", "hva").result()
    gone(server)
    client("replication_fabrics.begin_delete", "site1").result()
    assert "site1" not in [one.name for one in client("replication_fabrics.list")]


@pytest.mark.lab
def test_a_failback_that_is_taken_back_leaves_the_machine_committed_over_there(
    server: Served, script: Script
) -> None:
    client = script.client
    script.prepare()
    hosts(server)
    script.find()
    script.do("create", "enable")
    server.node.settled()
    script.do("planned_failover", "planned")
    script.do("failover_commit")
    before = script.stands()
    client(f"{ITEMS}.begin_planned_failover", *script.item, script.body("home"))
    asking = script.job("JobStatus eq 'Suspended'")
    client(f"{JOBS}.begin_cancel", asking.name).result()
    server.node.settled()
    assert script.stands() == before
    assert script.come_home() == "Primary"
