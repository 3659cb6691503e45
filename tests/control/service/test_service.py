"""Who may do what at the desks, and that every call is written down."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.control.service.service import Service
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.policies import Policy
from bascule.model.vault.access import Caller, Right, Role, right_for
from bascule.model.vault.fabric import Fabric, ProtectableItem, Server
from bascule.model.vault.item import Command, Protection, Side
from bascule.model.vault.job import Act, JobId, JobState
from bascule.model.vault.route import Route
from bascule.model.vault.signs.alerts import AlertSettings
from bascule.model.vault.signs.disk import Disk
from bascule.model.vault.signs.event import Event, Health
from bascule.model.vault.vault import Vault
from tests.control.service.desks import ANNA, OTTO, OWNER, RITA, ROUTE, desks
from tests.control.vaults import Node

Calls = tuple[tuple[str, Callable[[Service, Caller], object]], ...]
NO_JOB = JobId("none")

OF_THE_OWNER: Calls = (
    ("create-vault", lambda s, who: s.vaults.create(who, Vault("west"))),
    ("remove-vault", lambda s, who: s.vaults.remove(who, "north")),
    ("assign-contributor", lambda s, who: s.vaults.assign(who, "north", who.name, Role.CONTRIBUTOR)),
    ("unassign", lambda s, who: s.vaults.unassign(who, "north", "anna")),
)
OF_CONTRIBUTORS: Calls = (
    ("create-fabric", lambda s, who: s.fabrics.create(who, "north", "site-2")),
    ("remove-fabric", lambda s, who: s.fabrics.remove(who, "north", "site-1")),
    ("make-key", lambda s, who: s.fabrics.invite(who, "north", "site-1", 60.0)),
    ("revoke", lambda s, who: s.fabrics.revoke(who, "north", "h1")),
    ("put-policy", lambda s, who: s.policies.put(who, "north", "hourly", Policy())),
    ("remove-policy", lambda s, who: s.policies.remove(who, "north", "daily")),
    ("enable", lambda s, who: s.items.enable(who, "north", "shop", ROUTE)),
    ("disable", lambda s, who: s.items.command(who, "north", "web", Command.DISABLE)),
    ("remove-item", lambda s, who: s.items.remove(who, "north", "web")),
)
OF_OPERATORS_TOO: Calls = (
    ("fail-over", lambda s, who: s.items.command(who, "north", "web", Command.FAIL_OVER)),
    ("test-fail-over", lambda s, who: s.items.command(who, "north", "web", Command.TEST_FAIL_OVER)),
)
OF_READERS_TOO: Calls = (
    ("show-vault", lambda s, who: s.vaults.get(who, "north")),
    ("list-roles", lambda s, who: s.vaults.roles(who, "north")),
    ("list-deeds", lambda s, who: s.vaults.deeds(who, "north")),
    ("list-fabrics", lambda s, who: s.fabrics.list(who, "north")),
    ("list-servers", lambda s, who: s.fabrics.servers(who, "north")),
    ("list-machines", lambda s, who: s.fabrics.machines(who, "north")),
    ("list-policies", lambda s, who: s.policies.list(who, "north")),
    ("show-policy", lambda s, who: s.policies.get(who, "north", "daily")),
    ("list-items", lambda s, who: s.items.list(who, "north")),
    ("show-item", lambda s, who: s.items.get(who, "north", "web")),
    ("list-jobs", lambda s, who: s.jobs.list(who, "north")),
    ("export-jobs", lambda s, who: s.jobs.export_csv(who, "north")),
    ("export-jobs", lambda s, who: s.jobs.export_json(who, "north")),
    ("show-health", lambda s, who: s.signs.conditions(who, "north")),
    ("list-events", lambda s, who: s.signs.events(who, "north")),
)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Service, Node]]:
    with desks(tmp_path) as found:
        yield found


def everything(node: Node) -> str:
    """Return all that the catalog holds, but for the record of deeds."""
    with node.catalog.reading() as books:
        shelves = (
            *(books.assignments, books.fabrics, books.enrolments, books.servers),
            *(books.policies, books.items, books.jobs, books.events),
        )
        return repr((books.vaults.list(), [shelf.list("north") for shelf in shelves]))


def lines(service: Service, vault: str = "north") -> set[tuple[str, str, str]]:
    service.gate.settle()
    return {(deed.who, deed.what, deed.code) for deed in service.vaults.deeds(OWNER, vault)}


def test_who_may_not_is_refused_and_written_down_and_nothing_changes(opened: tuple[Service, Node]) -> None:
    service, node = opened
    before = everything(node)
    for who, calls in (
        (RITA, (*OF_THE_OWNER, *OF_CONTRIBUTORS, *OF_OPERATORS_TOO)),
        (OTTO, (*OF_THE_OWNER, *OF_CONTRIBUTORS)),
        (ANNA, OF_THE_OWNER),
    ):
        for what, call in calls:
            with pytest.raises(Refused) as refusal:
                call(service, who)
            assert refusal.value.code == "not-permitted", what
    assert everything(node) == before
    said = lines(service) | lines(service, "")
    assert {(RITA.name, what, "not-permitted") for what, _ in (*OF_THE_OWNER, *OF_CONTRIBUTORS)} <= said
    assert {(OTTO.name, what, "not-permitted") for what, _ in OF_CONTRIBUTORS} <= said


def test_a_reader_sees_everything_of_their_vault_and_each_look_is_written_down(
    opened: tuple[Service, Node],
) -> None:
    service, _ = opened
    for _, call in OF_READERS_TOO:
        call(service, RITA)
    assert {(RITA.name, what, "") for what, _ in OF_READERS_TOO} <= lines(service)


def test_a_stranger_learns_nothing_not_even_whether_a_vault_exists(opened: tuple[Service, Node]) -> None:
    service, node = opened
    before = everything(node)
    said = []
    for vault in ("south", "nowhere"):
        with pytest.raises(Refused) as refusal:
            service.items.list(ANNA, vault)
        said.append((refusal.value.code, refusal.value.message.replace(vault, "")))
    assert said[0] == said[1] == ("no-role", "anna has no role in a vault called ")
    assert service.vaults.list(ANNA) == (Vault("north"),)
    assert service.vaults.list(Caller("nobody")) == service.vaults.list(Caller("")) == ()
    assert service.vaults.list(OWNER) == (Vault("north"), Vault("south"))
    assert everything(node) == before
    # Nor can they fill the record of a vault that is not theirs.
    assert not any(who == "anna" for who, _, _ in lines(service, "south"))
    assert ("anna", "list-items", "no-role") in lines(service, "")


def test_refusals_of_one_kind_are_one_line_and_a_count(opened: tuple[Service, Node]) -> None:
    service, _ = opened
    for _ in range(50):
        with pytest.raises(Refused):
            service.fabrics.create(RITA, "north", "site-2")
    service.gate.settle()
    found = [deed for deed in service.vaults.deeds(OWNER, "north") if deed.who == "rita"]
    assert [deed.detail for deed in found] == [
        "refused again, 49 times",
        "rita is a reader of north, and create-fabric needs the right to change",
    ]


def test_a_change_and_its_line_are_one_transaction(opened: tuple[Service, Node]) -> None:
    service, node = opened
    with pytest.raises(Exists):
        service.fabrics.create(ANNA, "north", "site-1")
    codes = [deed.code for deed in service.vaults.deeds(OWNER, "north") if deed.what == "create-fabric"]
    assert codes == ["exists", ""]
    with node.catalog.reading() as books:
        assert books.fabrics.list("north") == (Fabric("north", "site-1"),)


def test_a_machine_goes_from_enabling_to_failed_over_by_its_desk(opened: tuple[Service, Node]) -> None:
    service, node = opened
    job = service.items.enable(ANNA, "north", "Shop", ROUTE)
    node.settled()
    item = service.items.get(RITA, "north", job.item)
    assert (item.name, item.protection, item.route) == ("Shop", Protection.PROTECTED, ROUTE)
    assert item.id.startswith("shop-")
    over = service.items.command(OTTO, "north", item.id, Command.FAIL_OVER)
    node.settled()
    found = service.jobs.get(RITA, "north", over.id)
    assert (found.state, found.by) == (JobState.SUCCEEDED, "otto")
    assert service.items.get(RITA, "north", item.id).side is Side.RECOVERY
    rows = list(csv.DictReader(io.StringIO(service.jobs.export_csv(RITA, "north"))))
    assert {row["by"] for row in rows} == {"anna", "otto"}
    assert len(json.loads(service.jobs.export_json(RITA, "north"))) == 3


@pytest.mark.parametrize(
    ("route", "why"),
    [
        (Route("h3", "m", "h2", "/points", "/key", "daily"), "north has no server h3"),
        (Route("h1", "m", "h3", "/points", "/key", "daily"), "north has no server h3"),
        (Route("h1", "m", "h2", "/points", "/key", "weekly"), "north has no policy weekly"),
        (Route("h1", "", "h2", "/points", "/key", "daily"), "no machine is named"),
        (Route("h1", "m", "h2", "", "/key", "daily"), "no store is named"),
    ],
)
def test_a_machine_is_protected_only_between_hosts_of_its_vault(
    opened: tuple[Service, Node], route: Route, why: str
) -> None:
    service, node = opened
    before = everything(node)
    with pytest.raises(Refused, match=why):
        service.items.enable(ANNA, "north", "shop", route)
    assert everything(node) == before


def test_hosts_machines_and_items_go_by_their_names_where_only_one_has_them(
    opened: tuple[Service, Node],
) -> None:
    service, node = opened
    with node.catalog.writing() as books:
        for host, name in (("h1", "paris"), ("h2", "rome")):
            books.servers.put(Server("north", host, "site-1", name, 1.0))
        books.protectable.put(ProtectableItem("north", "m1", "site-1", "h1", "one#shop"))
    job = service.items.enable(
        ANNA, "north", "Shop", Route("paris", "shop", "rome", "/points", "/key", "daily")
    )
    node.settled()
    item = service.items.get(RITA, "north", "Shop")
    assert (item.id, item.route) == (job.item, ROUTE)
    assert service.items.command(OTTO, "north", "Shop", Command.TEST_FAIL_OVER).item == item.id
    node.settled()
    assert service.points.list(RITA, "north", "Shop") == service.points.list(RITA, "north", item.id)


def test_a_machine_that_its_host_does_not_have_is_refused_with_those_that_it_has(
    opened: tuple[Service, Node],
) -> None:
    service, node = opened
    with node.catalog.writing() as books:
        for id, machine in (("m1", "one#shop"), ("m2", "one#till"), ("m3", "two#till")):
            books.protectable.put(ProtectableItem("north", id, "site-1", "h1", machine))
    before = everything(node)
    for name, why in (("shpo", "host h1 has no machine shpo"), ("till", "host h1 has several machines till")):
        with pytest.raises(Refused, match=why) as refused:
            service.items.enable(ANNA, "north", "Shop", replace(ROUTE, machine=name))
        assert refused.value.cure == "it has one#shop, one#till, two#till"
    assert everything(node) == before


def test_a_name_that_two_hosts_have_is_nobodys(opened: tuple[Service, Node]) -> None:
    service, node = opened
    with node.catalog.writing() as books:
        for host in ("h1", "h2"):
            books.servers.put(Server("north", host, "site-1", "twin", 1.0))
    with pytest.raises(Refused, match="twin is the name of h1, h2"):
        service.fabrics.revoke(ANNA, "north", "twin")
    assert not any(server.is_revoked for server in service.fabrics.servers(RITA, "north"))


@pytest.mark.slow
def test_an_operator_steers_the_jobs_of_failovers_and_no_others(opened: tuple[Service, Node]) -> None:
    service, node = opened
    node.sites.fail("check", "refused", "no room")
    job = service.items.enable(ANNA, "north", "shop", ROUTE)
    node.settled()
    with pytest.raises(Refused, match="restart-job needs the right to change"):
        service.jobs.act(OTTO, "north", job.id, Act.RESTART)
    node.sites.fail("check")
    service.jobs.act(ANNA, "north", job.id, Act.RESTART)
    node.settled()
    node.sites.fail("start failover", "refused", "no memory")
    over = service.items.command(OTTO, "north", job.item, Command.FAIL_OVER)
    node.settled()
    node.sites.fail("start failover")
    assert service.jobs.act(OTTO, "north", over.id, Act.RESTART).state is JobState.QUEUED
    node.settled()
    with pytest.raises(Refused, match="no cancel now"):
        service.jobs.act(OTTO, "north", over.id, Act.CANCEL)
    with pytest.raises(Missing):
        service.jobs.act(OTTO, "north", NO_JOB, Act.CANCEL)


@pytest.mark.slow
def test_an_item_is_forgotten_once_it_is_not_protected_and_may_come_again(
    opened: tuple[Service, Node],
) -> None:
    service, node = opened
    job = service.items.enable(ANNA, "north", "shop", ROUTE)
    node.settled()
    with pytest.raises(Refused, match="shop is protected"):
        service.items.remove(ANNA, "north", job.item)
    with pytest.raises(Exists, match="north has an item shop"):
        service.items.enable(ANNA, "north", "shop", ROUTE)
    service.items.command(ANNA, "north", job.item, Command.DISABLE)
    node.settled()
    with node.catalog.writing() as books:
        books.items.save(replace(books.items.get("north", job.item), disks=(Disk("disk0", 1 << 30),)))
    assert service.items.enable(ANNA, "north", "shop", ROUTE).item == job.item
    assert service.items.get(ANNA, "north", job.item).disks == (), "they were another machine's, maybe"
    node.settled()
    service.items.command(ANNA, "north", job.item, Command.DISABLE)
    node.settled()
    service.items.remove(ANNA, "north", job.item)
    with pytest.raises(Missing):
        service.items.get(ANNA, "north", job.item)


def test_a_vault_with_something_in_it_is_not_removed(opened: tuple[Service, Node]) -> None:
    service, _ = opened
    with pytest.raises(Refused, match="south is not empty: host h3"):
        service.vaults.remove(OWNER, "south")
    service.vaults.create(OWNER, Vault("west"))
    service.vaults.remove(OWNER, "west")
    assert Vault("west") not in service.vaults.list(OWNER)


@pytest.mark.slow
def test_a_policy_in_use_stays_and_one_that_names_commands_of_a_host_is_refused(
    opened: tuple[Service, Node],
) -> None:
    service, node = opened
    service.items.enable(ANNA, "north", "shop", ROUTE)
    node.settled()
    with pytest.raises(Refused, match="policy daily is that of shop"):
        service.policies.remove(ANNA, "north", "daily")
    for policy in (Policy(before=("/bin/true",)), Policy(agent="/run/agent.sock")):
        with pytest.raises(Refused, match="names no commands"):
            service.policies.put(ANNA, "north", "hourly", policy)


def test_a_key_is_of_a_site_and_one_for_a_host_of_a_host_of_the_vault(opened: tuple[Service, Node]) -> None:
    service, node = opened
    invitation = service.fabrics.invite(ANNA, "north", "site-1", 60.0)
    assert invitation.addresses == ("vault.example:9444",)
    with node.catalog.reading() as books:
        [enrolment] = books.enrolments.list("north")
    assert (enrolment.id, enrolment.fabric) == (invitation.key, "site-1")
    assert invitation.secret not in repr(enrolment)
    with pytest.raises(Missing, match="north has no server h3"):
        service.fabrics.invite(ANNA, "north", "site-1", 60.0, host="h3")
    with pytest.raises(Missing, match="north has no fabric site-9"):
        service.fabrics.invite(ANNA, "north", "site-9", 60.0)
    with pytest.raises(Missing, match="north has no server h3"):
        service.fabrics.revoke(ANNA, "north", "h3")


def test_a_contributor_says_who_gets_mail_and_the_owner_where_it_is_posted_to(
    opened: tuple[Service, Node],
) -> None:
    service, node = opened
    with node.catalog.writing() as books:
        books.events.add(Event("north", 1.0, "web", "153007", Health.CRITICAL, "before"))
    mail = AlertSettings("north", ("anna@example.org",))
    hook = replace(mail, hook="https://example.org/hook")
    for who, settings in ((RITA, mail), (OTTO, mail), (ANNA, hook)):
        with pytest.raises(Refused) as refusal:
            service.signs.set_alerts(who, settings)
        assert refusal.value.code == "not-permitted"
        assert service.signs.alerts(RITA, "north") == AlertSettings("north")
    service.signs.set_alerts(ANNA, mail)
    service.signs.set_alerts(OWNER, hook)
    service.signs.set_alerts(ANNA, replace(hook, least=Health.WARNING))
    assert service.signs.alerts(RITA, "north").hook == hook.hook
    with node.catalog.reading() as books:
        # Of what happened before somebody was to be told, nobody is.
        assert [(one.id, one.number) for one in books.alert_places.list("north")] == [
            ("hook", 1),
            ("mail", 1),
        ]


def test_a_command_is_a_contributors_unless_it_is_named_as_part_of_failing_over_and_back() -> None:
    rights = {command: right_for(command) for command in Command}
    assert {rights[command] for command in (Command.ENABLE, Command.FINALIZE, Command.DISABLE)} == {
        Right.CHANGE
    }
    assert {rights[command] for command in (Command.FAIL_OVER, Command.COMMIT, Command.RESYNC)} == {Right.RUN}
