"""A site of hosts to Azure, and home again: the calls and bodies that clients send there, sent here (R-OP-4).

Nothing of our own is in them. What Azure has no word for was said once before, for the vault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from bascule.model.vault.fabric import ProtectableItem, Server
from bascule.model.vault.item import Command
from bascule.model.vault.sides.pairing import EVERYWHERE, Target
from lab.waiting import wait_until
from tests.control.service.desks import OWNER
from tests.front.api.replayed import body
from tests.front.api.serving import Client, Served

ITEMS, JOBS = "replication_protected_items", "replication_jobs"


@dataclass
class Operator:
    """Somebody who has a script that was written for Azure."""

    server: Served
    client: Client
    placeholders: dict[str, str] = field(default_factory=dict)

    @property
    def item(self) -> tuple[str, str, str]:
        return "site1", self.placeholders["cloud_S"], "hv1"

    def body(self, name: str) -> Any:
        return body(name, self.placeholders)

    def do(self, verb: str, name: str = "") -> Any:
        """Send a command, and return what came of it."""
        said = (self.body(name),) if name else ()
        poller: Any = self.client(f"{ITEMS}.begin_{verb}", *self.item, *said)
        return poller.result()

    def stands(self) -> tuple[str, str]:
        said: Any = self.client(f"{ITEMS}.get", *self.item)
        return said.properties.protection_state, said.properties.active_location

    def job(self, words: str) -> Any:
        """Return the newest job of a filter, as soon as there is one."""
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = list(self.client(f"{JOBS}.list", filter=words))
            return bool(found)

        wait_until(is_there, 30, f"a job with {words}")
        return found[0]

    def come_home(self) -> str:
        """Ask for the machine, and complete the failover when the job asks for that."""
        poller: Any = self.client(f"{ITEMS}.begin_planned_failover", *self.item, self.body("home"))
        asking = self.job("JobStatus eq 'Suspended'")
        assert "Resume" in asking.properties.allowed_actions
        self.client(f"{JOBS}.begin_resume", asking.name, self.body("complete")).result()
        return str(poller.result().properties.active_location)

    def prepare(self) -> None:
        """Steps 37 to 41."""
        client = self.client
        client("replication_fabrics.begin_create", "site1", self.body("site")).result()
        (container,) = client("replication_protection_containers.list_by_replication_fabrics", "site1")
        self.placeholders["cloud_S"] = container.name
        client("replication_policies.begin_create", "hva", self.body("policy")).result()
        group = "replication_protection_container_mappings.begin_create"
        mapped: Any = client(group, "site1", container.name, "map1", self.body("mapping")).result()
        assert mapped.properties.state == "Paired"

    def hosts(self) -> None:
        """What is there beside the calls: two hosts of the site, a machine, and what the vault was told."""
        with self.server.node.catalog.writing() as books:
            for host in ("P1", "P2", "P3"):
                books.servers.put(Server("north", host, "site1", host, 1.0))
            books.protectable.put(ProtectableItem("north", "P1/one#hv1", "site1", "P1", "one#hv1"))
        self.server.service.recovery.put(OWNER, "north", EVERYWHERE, Target("P3", "/points", "/key"))
        listed = "replication_protectable_items.list_by_replication_protection_containers"
        (machine,) = self.client(listed, "site1", self.placeholders["cloud_S"])
        self.placeholders["VMGUID"] = machine.properties.custom_details.source_item_id

    def gone(self) -> None:
        """Take the hosts back that registered with no door."""
        with self.server.node.catalog.writing() as books:
            for one in books.servers.list("north"):
                if one.fabric == "site1":
                    books.servers.remove("north", one.id)
            for machine in books.protectable.list("north"):
                if machine.fabric == "site1":
                    books.protectable.remove("north", machine.id)


@pytest.fixture
def operator(server: Served) -> Iterator[Operator]:
    ids = {"SUB": server.identity.server, "/vaults/v1": "/vaults/north", "OSVHD": "disk0", "DATAVHD": "disk1"}
    operator = Operator(server, server.recovery(), ids)
    yield operator
    server.node.settled()
    for item in server.service.items.list(OWNER, "north"):
        for command in (Command.CANCEL, Command.DISABLE):
            server.try_to(item.id, command)
    operator.gone()


@pytest.mark.lab
def test_a_script_for_azure_protects_moves_and_brings_home_a_machine_here(operator: Operator) -> None:
    client = operator.client
    operator.prepare()
    operator.hosts()
    operator.do("create", "enable")
    for job in client(f"{JOBS}.list", filter="AffectedObjectTypes eq 'ProtectionEntity'"):
        assert job.properties.target_object_name == "hv1"
    operator.server.node.settled()
    assert operator.stands() == ("Protected", "Primary")
    kept = operator.server.service.items.named(OWNER, "north", "hv1")
    assert (kept.route.recovery, kept.route.store, kept.route.disks) == ("P3", "/points", ("disk0", "disk1"))
    assert '"network": "vnet"' in kept.settings
    operator.do("repair_replication")

    operator.do("planned_failover", "planned")
    assert operator.stands()[1] == "Recovery"
    operator.do("failover_cancel")
    assert operator.stands() == ("Protected", "Primary")

    points = [
        one.name for one in client("recovery_points.list_by_replication_protected_items", *operator.item)
    ]
    operator.placeholders |= {"/rp2": f"/{points[0]}", '"/rp"': f'"/{points[-1]}"'}
    failed = operator.do("unplanned_failover", "unplanned")
    assert failed.properties.failover_recovery_point_id.endswith(f"/{points[-1].rpartition('.')[2]}")
    changed = operator.do("apply_recovery_point", "point")
    assert changed.properties.failover_recovery_point_id.endswith(f"/{points[0].rpartition('.')[2]}")
    operator.do("failover_commit")
    said: Any = client(f"{ITEMS}.get", *operator.item)
    assert "Failback" in said.properties.allowed_operations

    assert operator.come_home() == "Primary"
    operator.do("failover_commit")
    operator.do("reprotect", "reprotect")
    operator.server.node.settled()
    assert operator.stands() == ("Protected", "Primary")

    operator.do("planned_failover", "planned")
    operator.do("failover_commit")
    assert operator.do("planned_failover", "elsewhere").properties.active_location == "Primary"
    operator.do("failover_commit")
    assert operator.server.service.items.named(OWNER, "north", "hv1").route.source == "P2"

    operator.do("delete", "remove")
    with pytest.raises(ResourceNotFoundError):
        client(f"{ITEMS}.get", *operator.item)
    group = "replication_protection_container_mappings.begin_delete"
    client(group, "site1", operator.placeholders["cloud_S"], "map1", operator.body("unmap")).result()
    client("replication_policies.begin_delete", "hva").result()
    operator.gone()
    client("replication_fabrics.begin_delete", "site1").result()
    assert "site1" not in [one.name for one in client("replication_fabrics.list")]


@pytest.mark.lab
def test_a_failback_that_is_taken_back_leaves_the_machine_committed_over_there(operator: Operator) -> None:
    client = operator.client
    operator.prepare()
    operator.hosts()
    operator.do("create", "enable")
    operator.server.node.settled()
    operator.do("planned_failover", "planned")
    operator.do("failover_commit")
    before = operator.stands()
    operator.client(f"{ITEMS}.begin_planned_failover", *operator.item, operator.body("home"))
    asking = operator.job("JobStatus eq 'Suspended'")
    client(f"{JOBS}.begin_cancel", asking.name).result()
    operator.server.node.settled()
    assert operator.stands() == before
    assert operator.come_home() == "Primary"
