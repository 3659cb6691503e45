"""A script that was written for Azure, and sent here: its bodies as they are, by any of the official SDKs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.waiting import wait_until
from tests.front.api.replayed import body
from tests.front.api.sdks import Client

ITEMS, JOBS = "replication_protected_items", "replication_jobs"


@dataclass
class Script:
    """What is done with a machine; ``begun`` are the names of the operations, as the headers say them."""

    client: Client
    placeholders: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    @property
    def item(self) -> tuple[str, str, str]:
        return "site1", self.placeholders["cloud_S"], "hv1"

    def body(self, name: str) -> Any:
        return self.client.exactly(body(name, self.placeholders))

    def prepare(self) -> None:
        """Steps 37 to 40."""
        client = self.client
        client("replication_fabrics.begin_create", "site1", self.body("site")).result()
        (container,) = client("replication_protection_containers.list_by_replication_fabrics", "site1")
        self.placeholders["cloud_S"] = container.name
        client("replication_policies.begin_create", "hva", self.body("policy")).result()
        group = "replication_protection_container_mappings.begin_create"
        mapped: Any = client(group, "site1", container.name, "map1", self.body("mapping")).result()
        assert mapped.properties.state == "Paired"

    def find(self) -> None:
        """Step 41: take what names the machine from the list of those that can be protected."""
        listed = "replication_protectable_items.list_by_replication_protection_containers"
        (machine,) = self.client(listed, "site1", self.placeholders["cloud_S"])
        details = machine.properties.custom_details
        self.placeholders["VMGUID"] = details.source_item_id
        system, data = details.disk_details
        assert data.max_size_mb
        self.placeholders |= {"OSVHD": system.vhd_id, "DATAVHD": data.vhd_id}

    def choose_points(self) -> tuple[str, str]:
        """Take the points that are failed over to from their list; return them."""
        listed = self.client("recovery_points.list_by_replication_protected_items", *self.item)
        newest, *_, oldest = [one.name for one in listed]
        self.placeholders |= {"/rp2": f"/{newest}", '"/rp"': f'"/{oldest}"'}
        return oldest, newest

    def begin(self, verb: str, name: str = "") -> Any:
        """Send a command, and return what waits for its end."""
        said = (self.body(name),) if name else ()
        names: list[str] = []

        def hear(response: Any) -> None:
            url = response.http_response.headers.get("Azure-AsyncOperation")
            if url:
                names.append(url.split("/replicationOperationStatus/")[1].split("?")[0])

        poller = self.client(f"{ITEMS}.begin_{verb}", *self.item, *said, raw_response_hook=hear)
        self.begun.append(names[0])
        return poller

    def do(self, verb: str, name: str = "") -> Any:
        """Send a command, and return what came of it."""
        return self.begin(verb, name).result()

    def stands(self) -> tuple[str, str]:
        return self.says()[:2]

    def says(self) -> tuple[str, str, list[str]]:
        """Return in which state the machine is, on which side, and what may be done with it."""
        said = self.client(f"{ITEMS}.get", *self.item).properties
        return said.protection_state, said.active_location, list(said.allowed_operations)

    def job(self, words: str) -> Any:
        """Return the newest job of a filter, as soon as there is one."""
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = list(self.client(f"{JOBS}.list", filter=words))
            return bool(found)

        wait_until(is_there, 60, f"a job with {words}")
        return found[0]

    def last(self) -> tuple[str, str, list[str]]:
        """Return the scenario of the job that is called as the last operation, its end, and its tasks."""
        job = self.client(f"{JOBS}.get", self.begun[-1]).properties
        return job.scenario_name, job.state, [task.name for task in job.tasks]

    def come_home(self) -> str:
        """Ask for the machine, and complete the failover when the job asks for that."""
        poller = self.begin("planned_failover", "home")
        asking = self.job("JobStatus eq 'Suspended'")
        assert asking.name == self.begun[-1]
        assert "Resume" in asking.properties.allowed_actions
        self.client(f"{JOBS}.begin_resume", asking.name, self.body("complete")).result()
        return str(poller.result().properties.active_location)
