"""A machine that moves between the hosts of a cluster, each with a provider of its own (R-W-3)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.fake.machine import FakeHost
from bascule.model.errors import Refused
from bascule.model.hours import ANY
from bascule.model.items import Facts, State, Wish
from bascule.model.policies import Policy
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.provider.item import Item

from .scenes import BLOCK, SIZE, Scene


class Cluster:
    """Two providers that see one store, and a machine that is on one of their hosts, or on none."""

    def __init__(self, room: Path) -> None:
        self.scene = Scene(room)
        self.machine = self.scene.hosts.pop("web")
        self.folders = {name: ProviderFolder(room / name).item("web") for name in "ab"}
        self.items: dict[str, Item] = {}
        for name, folder in self.folders.items():
            policy = Policy(interval_seconds=5, resync_hours=ANY)
            folder.change(
                lambda _, name=name, policy=policy: Wish(
                    "web", (f"web@{name}",), "store", policy=policy, cluster="blue"
                )
            )
            self.restart(name)

    def restart(self, name: str) -> None:
        self.items[name] = Item(self.folders[name], self.scene.workshop(f"host-{name}"))

    def move(self, name: str) -> None:
        """End the machine where it runs, and start it on a host with the same disks and their records."""
        for each in "ab":
            if (left := self.scene.hosts.pop(f"web@{each}", None)) is not None:
                left.is_up = False
        disks, self.machine = self.machine.disks, FakeHost({}, "web")
        self.machine.disks = disks
        self.scene.hosts[f"web@{name}"] = self.machine

    def start_a_copy(self, name: str) -> None:
        self.machine, disks = FakeHost({}, "web"), deepcopy(self.machine.disks)
        self.machine.disks = disks
        self.scene.hosts[f"web@{name}"] = self.machine

    def step(self, name: str, count: int = 1) -> Facts:
        for _ in range(count):
            self.scene.step(self.items[name])
        return self.folders[name].facts()

    def write(self) -> None:
        self.machine.write("disk0", self.scene.chance.randrange(SIZE), b"x")

    def must_be_replicated(self) -> None:
        self.scene.hosts["web"] = self.machine
        self.scene.must_be_replicated()
        del self.scene.hosts["web"]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster(tmp_path)
    made.move("a")
    return made


def test_r_w_3_a_machine_that_moves_stays_protected_without_a_full_copy(cluster: Cluster) -> None:
    """There and back: each time the provider that finds it goes on with a delta, and the other one waits."""
    cluster.step("a")
    assert cluster.step("b").state is State.ELSEWHERE
    for here, there in ("ab", "ba", "ab"):
        cluster.write()
        cluster.move(there)
        assert cluster.step(here, 2).state is State.OFF
        facts = cluster.step(there, 2)
        assert cluster.step(here).state is State.ELSEWHERE
        assert (facts.state, facts.mark) == (State.REPLICATING, None)
        cluster.must_be_replicated()
        told = [event["event"] for event in cluster.folders[there].events()]
        assert told.count("came-here") >= 1
    assert cluster.folders["b"].facts().totals.read_bytes <= 4 * BLOCK


def test_a_machine_whose_record_did_not_come_along_is_compared_by_digests(cluster: Cluster) -> None:
    cluster.step("a")
    cluster.write()
    for disk in cluster.machine.disks.values():
        disk.records.clear()
    cluster.move("b")
    facts = cluster.step("b", 2)
    assert (facts.state, facts.newest is not None) == (State.REPLICATING, True)
    assert facts.totals.sent_bytes <= BLOCK
    cluster.must_be_replicated()


def test_two_hosts_on_which_it_seems_to_run_never_take_turns(cluster: Cluster) -> None:
    """The one that it never left stops, and says why; the store has the points of the other one only."""
    cluster.step("a")
    cluster.write()
    old = cluster.machine
    cluster.start_a_copy("b")
    cluster.step("b")
    owner = cluster.folders["b"].facts().session
    old.write("disk0", 0, b"x")
    for _ in range(4):
        facts = cluster.step("a", 2)
        cluster.step("b")
    assert facts.state is State.FENCED
    (told,) = [event for event in cluster.folders["a"].events() if event["event"] == "fenced"]
    assert "seems to run on two hosts" in told["message"]
    head = cluster.scene.vault.log("web").head()
    assert head is not None
    assert head.entry.session == owner

    cluster.move("b")
    assert cluster.step("a").state is State.ELSEWHERE, "what is past is past"


def test_a_failover_stops_the_whole_cluster(cluster: Cluster) -> None:
    """R-FO-7: who took the group over does not sign with the cluster's name."""
    cluster.step("a")
    with cluster.scene.vault.begin("web", writer="the other side") as writer:
        theirs = writer.session
    for name in "ba":
        cluster.move(name)
        cluster.write()
        assert cluster.step(name, 3).state is State.FENCED
    head = cluster.scene.vault.log("web").head()
    assert head is not None
    assert head.entry.session == theirs


def test_another_cluster_is_somebody_else(cluster: Cluster) -> None:
    cluster.step("a")
    cluster.folders["b"].change(
        lambda wish: None if wish is None else Wish(**{**_parts(wish), "cluster": "green"})
    )
    cluster.move("b")
    assert cluster.step("b").state is State.FENCED


def test_a_provider_that_is_killed_in_a_move_goes_on_at_its_next_start(cluster: Cluster) -> None:
    cluster.step("a")
    cluster.restart("a")
    cluster.move("b")
    cluster.step("b")
    assert cluster.step("a").state is State.ELSEWHERE
    cluster.restart("a")
    cluster.restart("b")
    cluster.move("a")
    cluster.write()
    assert cluster.step("a", 2).state is State.REPLICATING
    cluster.must_be_replicated()


def test_a_store_that_is_away_when_a_machine_comes_costs_time_only(cluster: Cluster) -> None:
    cluster.step("a")
    cluster.move("b")
    cluster.write()
    for at in range(1, 8):
        cluster.scene.objects.fail(at=at, when="before")
        cluster.items["b"].step()
        cluster.scene.objects.heal()
        assert cluster.folders["b"].facts().state is not State.FENCED, f"after a failure at request {at}"
    cluster.scene.clock.time += 1800
    assert cluster.step("b", 2).state is State.REPLICATING
    cluster.must_be_replicated()


def test_several_machines_of_one_group_are_not_of_a_cluster() -> None:
    with pytest.raises(Refused, match="several hosts of a cluster"):
        Wish("web", ("a", "b"), "store", cluster="blue")


def _parts(wish: Wish) -> dict[str, object]:
    from dataclasses import fields

    return {field.name: getattr(wish, field.name) for field in fields(wish)}


def test_r_r_3_a_machine_that_a_host_does_not_know_any_more_is_elsewhere_and_no_error(
    cluster: Cluster,
) -> None:
    """Only on a standalone host is that one for a person: a migration may undefine it where it was."""
    cluster.move("a")
    cluster.step("a")
    cluster.move("b")
    cluster.scene.unknown.add("web@a")
    cluster.step("b", 2)
    facts = cluster.step("a", 2)
    assert (facts.state, facts.trouble) == (State.ELSEWHERE, None)
    cluster.scene.unknown.clear()
    cluster.move("a")
    assert cluster.step("a", 2).state is State.REPLICATING
