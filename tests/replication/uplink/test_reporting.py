"""What a host says of itself, and how little of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from bascule.model.items import Facts, Headway, Newest, State, Totals, Wish
from bascule.model.policies import Policy
from bascule.model.vault.commands import Json, Report
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.uplink.reporting import Reporter
from bascule.wire.control import messages

REPLICATING = Facts(
    1, State.REPLICATING, seen_at=1.5, safe_as_of=1_800_000_000.7, newest=Newest(1, 1.0, "crash")
)


@pytest.fixture
def folder(tmp_path: Path) -> ProviderFolder:
    made = ProviderFolder(tmp_path)
    for group in ("web", "db"):
        put(made, group, REPLICATING)
    return made


def put(folder: ProviderFolder, group: str, facts: Facts) -> None:
    policy = Policy(before=("login", "hidden"))
    item = folder.item(group)
    if item.stamp() is None:
        item.change(lambda _: Wish(group, ("fake:a",), "/store", "/secret.key", policy))
    item.tell(facts)


def said(reporter: Reporter, now: float) -> Report:
    report = reporter.next(now)
    assert report is not None
    reporter.kept(report, report.number, now)
    return report


def test_everything_is_said_once_and_then_what_changed(folder: ProviderFolder) -> None:
    reporter = Reporter(folder, "h1")
    first = said(reporter, 0.0)
    assert (first.number, first.since, sorted(first.groups)) == (1, 0, ["db", "web"])
    assert first.groups["web"]["safe_as_of"] == 1_800_000_000
    assert reporter.next(100.0) is None
    put(folder, "web", replace(REPLICATING, state=State.PAUSED, seen_at=2.0))
    assert said(reporter, 100.0) == Report("h1", 2, 1, {"web": {"state": "paused"}})
    folder.item("db").change(lambda _: None)
    assert said(reporter, 101.0) == Report("h1", 3, 2, {}, ("db",))


def test_the_machines_of_a_host_are_said_when_they_change_and_looked_at_every_minute(
    folder: ProviderFolder,
) -> None:
    machines, looks, size = ["one#web"], [], [1]

    def inventory() -> dict[str, Json]:
        looks.append(1)
        if not machines:
            raise Unavailable("the host does not answer")
        return {name: [{"id": "disk0", "size_bytes": size[0]}] for name in machines}

    reporter = Reporter(folder, "h1", inventory)
    assert said(reporter, 0.0).machines == inventory()
    looks.clear()
    machines.append("one#db")
    assert reporter.next(59.0) is None
    assert said(reporter, 60.0) == Report("h1", 2, 1, {}, (), inventory())
    assert reporter.next(120.0) is None
    size[0] = 2
    assert said(reporter, 180.0) == Report("h1", 3, 2, {}, (), inventory())
    machines.clear()
    assert reporter.next(240.0) is None
    assert reporter.next(241.0) is None
    assert len(looks) == 6
    machines.append("one#db")
    lost = reporter.next(300.0)
    assert lost is not None
    reporter.kept(lost, 0, 300.0)
    assert said(reporter, 300.0).machines == inventory()


def test_no_secret_and_no_command_of_the_host_is_said(folder: ProviderFolder) -> None:
    text = messages.written(said(Reporter(folder, "h1"), 0.0)).decode()
    assert "secret" not in text
    assert "hidden" not in text


def test_what_is_not_urgent_is_said_every_ten_seconds_and_sums_every_minute(folder: ProviderFolder) -> None:
    reporter = Reporter(folder, "h1")
    said(reporter, 0.0)
    put(folder, "web", replace(REPLICATING, safe_as_of=1_800_000_005.0, totals=Totals(cycles=5)))
    assert reporter.next(9.0) is None
    assert said(reporter, 10.0).groups == {"web": {"safe_as_of": 1_800_000_005}}
    assert reporter.next(59.0) is None
    assert list(said(reporter, 60.0).groups["web"]) == ["totals"]


def test_a_report_that_was_not_kept_is_followed_by_all_there_is(folder: ProviderFolder) -> None:
    reporter = Reporter(folder, "h1")
    said(reporter, 0.0)
    put(folder, "web", replace(REPLICATING, state=State.OFF))
    lost = reporter.next(1.0)
    assert lost is not None
    assert reporter.next(1.0) == lost
    reporter.kept(lost, 0, 1.0)
    again = said(reporter, 1.0)
    assert (again.number, again.since, sorted(again.groups)) == (1, 0, ["db", "web"])


def test_machines_that_write_nothing_say_little(tmp_path: Path) -> None:
    folder = ProviderFolder(tmp_path)
    groups = [f"machine-{number:03}" for number in range(20)]
    for group in groups:
        put(folder, group, REPLICATING)
    reporter = Reporter(folder, "h1")
    said(reporter, 0.0)
    for group in groups:
        put(folder, group, replace(REPLICATING, safe_as_of=1_800_000_030.0, seen_at=9.0))
    assert len(messages.written(said(reporter, 10.0))) < 50 * len(groups)


def test_how_far_errands_are_is_said_every_ten_seconds_and_only_if_it_changed(tmp_path: Path) -> None:
    far = {"j1.aa": Headway(1, 10, 1.0, 9.0)}
    reporter = Reporter(ProviderFolder(tmp_path), "h1", None, lambda: dict(far))
    first = reporter.next(0.0)
    assert first is not None
    reporter.kept(first, 1, 0.0)
    assert reporter.next(5.0) is None
    second = reporter.next(10.0)
    assert second is not None
    assert second.errands == far
    assert messages.report_from(messages.written(second)) == second
    assert len(messages.written(second)) < 200
    reporter.kept(second, second.number, 10.0)
    assert reporter.next(20.0) is None
    far["j1.aa"] = Headway(2, 10, 1.0, 8.0)
    third = reporter.next(20.0)
    assert third is not None
    assert third.errands == far
