"""Containers, groups and settings of the recovery side: who is put where, and what a route becomes by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.control.service.service import Service
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.policies import Policy
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import Command
from bascule.model.vault.job import Job
from bascule.model.vault.plan import GroupKind, PlanGroup, RecoveryPlan
from bascule.model.vault.route import Route
from bascule.model.vault.sides.pairing import EVERYWHERE, ContainerMapping, Target
from tests.control.service.desks import ANNA, OTTO, OWNER, RITA, desks
from tests.control.vaults import Node

GROUP = ContainerMapping("north", "site-1/site-1/gold", "daily")
THERE = Target("h2", "/points", "/key")
OPEN = Route("h1", "one#shop", policy="daily")
"""A route that leaves open where to and by which store."""


@pytest.fixture
def found(tmp_path: Path) -> Iterator[tuple[Service, Node]]:
    with desks(tmp_path) as found:
        yield found


@pytest.fixture
def service(found: tuple[Service, Node]) -> Service:
    return found[0]


def enabled(service: Service, route: Route = OPEN, container: str = "site-1/site-1") -> Job:
    return service.items.enable(ANNA, "north", "shop", route, container)


def route_of(service: Service, job: Job) -> Route:
    return service.items.get(ANNA, "north", job.item).route


def test_a_site_has_a_container_of_its_own_and_others_that_are_made(service: Service) -> None:
    service.containers.create(ANNA, "north", "site-1", "blue")
    assert [one.id for one in service.containers.list(RITA, "north")] == ["site-1/blue", "site-1/site-1"]
    with pytest.raises(Exists):
        service.containers.create(ANNA, "north", "site-1", "site-1")
    with pytest.raises(Missing):
        service.containers.create(ANNA, "north", "site-9", "blue")
    with pytest.raises(Refused, match="the container of its site"):
        service.containers.remove(ANNA, "north", "site-1/site-1")
    service.mappings.put(ANNA, replace(GROUP, id="site-1/blue/gold"))
    with pytest.raises(Refused, match="has protection groups: gold"):
        service.containers.remove(ANNA, "north", "site-1/blue")
    service.mappings.remove(ANNA, "north", "site-1/blue/gold")
    service.containers.remove(ANNA, "north", "site-1/blue")
    assert [one.id for one in service.containers.list(RITA, "north")] == ["site-1/site-1"]


def test_what_a_group_leaves_open_is_said_by_its_site_and_then_by_the_vault(service: Service) -> None:
    service.mappings.put(ANNA, GROUP)
    with pytest.raises(Refused, match="no host that takes over is named"):
        enabled(service)
    service.recovery.put(ANNA, "north", EVERYWHERE, Target("h2", "/of-the-vault", "/key"))
    service.recovery.put(ANNA, "north", "site-1", Target(store="/of-the-site", key_file="/its-key"))
    route = route_of(service, job := enabled(service))
    assert (route.recovery, route.store, route.key_file) == ("h2", "/of-the-site", "/its-key")
    assert service.items.get(ANNA, "north", job.item).mapping == GROUP.id


def test_a_group_says_it_before_its_site_and_a_machine_before_its_group(service: Service) -> None:
    service.recovery.put(ANNA, "north", EVERYWHERE, Target("h1", "/of-the-vault", "/key"))
    service.mappings.put(ANNA, replace(GROUP, target=THERE))
    own = replace(OPEN, store="/own", key_file="/own-key")
    route = route_of(service, enabled(service, own))
    assert (route.recovery, route.store, route.key_file) == ("h2", "/own", "/own-key")


def test_a_machine_is_put_into_no_group_only_by_who_names_the_host(service: Service) -> None:
    service.recovery.put(ANNA, "north", EVERYWHERE, THERE)
    with pytest.raises(Refused, match="no protection group with policy daily; it has none"):
        enabled(service)
    job = enabled(service, replace(OPEN, recovery="h2"))
    assert service.items.get(ANNA, "north", job.item).mapping == ""


@pytest.mark.slow
def test_a_group_with_machines_stays_and_keeps_its_policy(found: tuple[Service, Node]) -> None:
    service, node = found
    service.policies.put(ANNA, "north", "hourly", Policy())
    service.mappings.put(ANNA, replace(GROUP, target=THERE))
    job = enabled(service)
    node.settled()
    with pytest.raises(Refused, match="has machines: shop"):
        service.mappings.remove(ANNA, "north", GROUP.id)
    with pytest.raises(Refused, match="another policy, and machines: shop"):
        service.mappings.put(ANNA, replace(GROUP, policy="hourly"))
    with pytest.raises(Refused, match="protection group gold"):
        service.policies.remove(ANNA, "north", "daily")
    service.items.command(ANNA, "north", job.item, Command.DISABLE)
    node.settled()
    service.mappings.put(ANNA, replace(GROUP, policy="hourly"))
    service.policies.remove(ANNA, "north", "daily")
    service.mappings.remove(ANNA, "north", GROUP.id)


def test_a_group_leads_only_to_hosts_of_its_vault_and_of_the_site_that_it_names(
    found: tuple[Service, Node],
) -> None:
    service, node = found
    service.fabrics.create(ANNA, "north", "site-2")
    with node.catalog.writing() as books:
        books.servers.add(Server("north", "h9", "site-2", "h9", 1.0))
    elsewhere = replace(GROUP, leads_to="site-2/site-2")
    with pytest.raises(Refused, match="leads to site-2, and host h2 is of site-1"):
        service.mappings.put(ANNA, replace(elsewhere, target=THERE))
    with pytest.raises(Missing):
        service.mappings.put(ANNA, replace(GROUP, target=Target("h3", "/points", "/key")))
    with pytest.raises(Refused, match="go together"):
        service.mappings.put(ANNA, replace(GROUP, target=Target("h2", "/points")))
    service.mappings.put(ANNA, elsewhere)
    service.recovery.put(ANNA, "north", EVERYWHERE, THERE)
    with pytest.raises(Refused, match="leads to site-2"):
        enabled(service)
    assert route_of(service, enabled(service, replace(OPEN, recovery="h9"))).recovery == "h9"
    with node.catalog.writing() as books:
        books.servers.put(Server("north", "h9", "site-2", "h9", 1.0, is_revoked=True))
    with pytest.raises(Refused, match="let in no more"):
        service.recovery.put(ANNA, "north", EVERYWHERE, Target("h9"))


def test_a_site_goes_with_its_containers_and_settings_and_not_while_it_has_groups(service: Service) -> None:
    service.fabrics.create(ANNA, "north", "site-2")
    service.containers.create(ANNA, "north", "site-2", "blue")
    service.recovery.put(ANNA, "north", "site-2", Target("h2"))
    service.mappings.put(ANNA, replace(GROUP, id="site-2/blue/gold"))
    with pytest.raises(Refused, match="protection groups: gold"):
        service.fabrics.remove(ANNA, "north", "site-2")
    service.mappings.remove(ANNA, "north", "site-2/blue/gold")
    service.mappings.put(ANNA, replace(GROUP, leads_to="site-2/site-2"))
    with pytest.raises(Refused, match="protection groups: gold"):
        service.fabrics.remove(ANNA, "north", "site-2")  # a group of another site leads to it
    service.mappings.remove(ANNA, "north", GROUP.id)
    service.plans.put(ANNA, RecoveryPlan.of("north", "all", "site-2", [PlanGroup(GroupKind.BOOT)]))
    with pytest.raises(Refused, match="recovery plans: all"):
        service.fabrics.remove(ANNA, "north", "site-2")
    service.plans.remove(ANNA, "north", "all")
    service.fabrics.remove(ANNA, "north", "site-2")
    service.fabrics.create(ANNA, "north", "site-2")
    assert [one.id for one in service.containers.list(ANNA, "north")] == ["site-1/site-1", "site-2/site-2"]
    assert service.recovery.get(RITA, "north", "site-2").target == Target()


def test_who_may_not_change_a_vault_changes_no_group_and_it_is_written_down(service: Service) -> None:
    for caller in (OTTO, RITA):
        with pytest.raises(Refused, match="needs the right to change"):
            service.mappings.put(caller, GROUP)
        with pytest.raises(Refused, match="needs the right to change"):
            service.recovery.put(caller, "north", EVERYWHERE, THERE)
        with pytest.raises(Refused, match="needs the right to change"):
            service.containers.create(caller, "north", "site-1", "blue")
    service.mappings.put(ANNA, GROUP)
    said = [(deed.who, deed.what) for deed in service.vaults.deeds(OWNER, "north")]
    assert {("anna", "put-mapping"), ("otto", "put-mapping")} <= set(said)
