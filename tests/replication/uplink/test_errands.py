"""Errands of a vault: done in order, each until it is done, and told until the vault has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.data.pipeline.flow.progress import Progress
from bascule.drivers.pki.credentials import HostCredentials
from bascule.front.agents.door import Limits
from bascule.model.errors import Damaged, Refused, Unavailable
from bascule.model.items import Headway
from bascule.model.vault.commands import Command, Result
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.uplink.errands import CarryOut, Errands, Hands, Headways
from bascule.replication.uplink.uplink import Pace, Uplink
from lab.waiting import wait_until
from tests.front.agents.scenes import House

from .cables import Cable


def command(number: int, verb: str = "do", group: str = "web") -> Command:
    return Command(number, f"c{number}", verb, group, {})


@contextmanager
def working(errands: Errands, does: CarryOut, tries: tuple[float, ...] = ()) -> Iterator[Hands]:
    hands, over = Hands(errands, {"do": does}, lambda: None, tries), threading.Event()
    thread = threading.Thread(target=hands.run, args=(over,))
    thread.start()
    try:
        yield hands
    finally:
        over.set()
        hands.stop()
        thread.join()


@pytest.fixture
def errands(tmp_path: Path) -> Errands:
    return Errands(tmp_path / "errands")


def results(errands: Errands, count: int) -> tuple[Result, ...]:
    wait_until(lambda: len(errands.results()) == count, 10, "the results")
    return errands.results()


def test_errands_of_a_group_are_done_one_after_another_in_their_order(errands: Errands) -> None:
    done: list[str] = []
    for number in (3, 1, 2):
        errands.take(command(number))
    with working(errands, lambda asked: done.append(asked.id) or f"did {asked.id}"):
        found = results(errands, 3)
    assert done == ["c1", "c2", "c3"]
    assert [(one.sequence, one.is_done, one.value) for one in found] == [
        (1, True, "did c1"),
        (2, True, "did c2"),
        (3, True, "did c3"),
    ]


def test_an_errand_that_comes_twice_is_done_once_and_goes_when_the_vault_has_it(errands: Errands) -> None:
    done: list[str] = []
    with working(errands, lambda asked: done.append(asked.id) or "") as hands:
        hands.take(command(1))
        found = results(errands, 1)
        hands.take(command(1))
        hands.take(command(2))
        results(errands, 2)
    assert done == ["c1", "c2"]
    errands.confirm(found)
    assert [one.id for one in errands.results()] == ["c2"]


def test_an_errand_that_was_cut_short_is_done_by_the_next_process(errands: Errands) -> None:
    errands.take(command(1))
    started, never = threading.Event(), threading.Event()

    def hang(_asked: Command) -> str:
        started.set()
        never.wait()
        return "by the dead"

    over = threading.Event()
    dead = Hands(errands, {"do": hang}, lambda: None)
    thread = threading.Thread(target=dead.run, args=(over,), daemon=True)
    thread.start()
    assert started.wait(10)
    with working(errands, lambda _asked: "by the living"):
        (found,) = results(errands, 1)
    assert found.value == "by the living"
    over.set()
    dead.stop()
    never.set()
    thread.join()


@pytest.mark.parametrize(
    ("error", "code", "is_passing"),
    [
        (Refused("no", cure="else", code="no-room"), "no-room", False),
        (Damaged("torn"), "damaged", False),
        (Unavailable("away"), "unavailable", True),
        (ZeroDivisionError("by zero"), "bug", False),
    ],
)
def test_what_keeps_an_errand_from_being_done_is_its_result(
    errands: Errands, error: Exception, code: str, is_passing: bool
) -> None:
    def fail(_asked: Command) -> str:
        raise error

    errands.take(command(1))
    with working(errands, fail, (0.01,)):
        (found,) = results(errands, 1)
    assert (found.is_done, found.code, found.is_passing) == (False, code, is_passing)
    assert isinstance(found.error(), Unavailable) == is_passing


def test_an_errand_that_hangs_is_given_up_when_the_next_one_of_its_group_waits(errands: Errands) -> None:
    def fail_first(asked: Command) -> str:
        if asked.sequence == 1:
            raise Unavailable("away")
        return "done"

    errands.take(command(1))
    with working(errands, fail_first, (3600.0,)) as hands:
        hands.take(command(2, group="other"))
        results(errands, 1)
        hands.take(command(3))
        found = results(errands, 3)
    assert [(one.sequence, one.is_done) for one in found] == [(1, False), (2, True), (3, True)]


def test_an_errand_is_carried_over_the_wire_while_commands_are_waited_for(tmp_path: Path) -> None:
    """Its result does not wait for the end of the long question, nor do others wait for the errand."""
    limits = Limits(wait_seconds=60.0, body_seconds=1.0, look_seconds=0.02)
    may_end, provider = threading.Event(), ProviderFolder(tmp_path / "provider")
    verbs: dict[str, Callable[[Command], str]] = {"do": lambda asked: str(may_end.wait() and asked.group)}
    with House(tmp_path / "vault", limits).open() as house:
        hosts, host = house.behind.hosts, house.join(provider.path).host
        over, pace = threading.Event(), Pace(first_seconds=0.01, most_seconds=0.05)
        uplink = Uplink(provider, HostCredentials(), house.clock, SystemIds(), pace, verbs)
        thread = threading.Thread(target=uplink.run, args=(over,))
        thread.start()
        try:
            hosts.give(host, "o1", "do", "web", {})
            hosts.give(host, "o2", "pause", "nowhere", {})
            wait_until(lambda: hosts.orders(host)[1].result is not None, 10, "the second one's result")
            assert hosts.orders(host)[0].result is None
            may_end.set()
            wait_until(lambda: hosts.orders(host)[0].result is not None, 10, "the errand's result")
            result = hosts.orders(host)[0].result
            assert result is not None
            assert result.value == "web"
            wait_until(lambda: not list(provider.path.glob("vault/errands/*")), 10, "the errand's file to go")
        finally:
            over.set()
            thread.join()


def test_a_network_that_is_cut_everywhere_has_no_errand_done_twice_and_no_result_lost(tmp_path: Path) -> None:
    """Each connection lives a piece longer than the one before, so messages are cut at each of their ends."""
    limits = Limits(wait_seconds=0.3, body_seconds=1.0, look_seconds=0.02)
    done: list[str] = []
    verbs: dict[str, Callable[[Command], str]] = {"do": lambda asked: done.append(asked.id) or asked.id}
    provider = ProviderFolder(tmp_path / "provider")
    with House(tmp_path / "vault", limits).open() as house:
        cable = Cable(house.address, lambda connection: connection % 9 + 3)
        try:
            with whole(cable):
                host = house.join(provider.path, house.invite(address=cable.address)).host
            over, pace = threading.Event(), Pace(0.01, 0.05, 0.05)
            uplink = Uplink(provider, HostCredentials(), house.clock, SystemIds(), pace, verbs)
            thread = threading.Thread(target=uplink.run, args=(over,))
            thread.start()
            try:
                for number in range(12):
                    house.behind.hosts.give(host, f"o{number}", "do", f"g{number % 2}", {})
                    wait_until(lambda: not house.behind.hosts.orders(only_open=True), 60, "its result")
            finally:
                over.set()
                thread.join()
        finally:
            cable.close()
        names = [f"o{number}" for number in range(12)]
        assert sorted(done) == sorted(names)
        results = [order.result for order in house.behind.hosts.orders(host)]
        assert [result and result.value for result in results] == names
        assert cable.connections > 9


@contextmanager
def whole(cable: Cable) -> Iterator[None]:
    """Let a cable be as it should be for a while."""
    pieces, cable._pieces = cable._pieces, lambda _: float("inf")
    yield
    cable._pieces = pieces


def test_how_far_an_errand_is_is_known_while_it_is_carried_out() -> None:
    headways, seen = Headways(), []
    command = Command(1, "j1.aa", "level", "web")
    with headways.of(command):
        look = headways.observer()
        other = threading.Thread(target=look, args=(Progress(3, 12, 0, 1.0, 3.0, 3.0),))
        other.start()
        other.join()
        seen.append(headways.known())
    assert seen == [{"j1.aa": Headway(3, 12, 3.0, 3.0)}]
    assert headways.known() == {}
    headways.observer()(Progress(3, 12, 0, 1.0, 3.0, 3.0))
    assert headways.known() == {}, "nobody's errand"
