"""A host and its vault over real TLS: cut and killed everywhere, no command is lost and none repeated."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.pki.credentials import HostCredentials
from bascule.front.agents.door import Limits
from bascule.model.errors import Refused, Unavailable
from bascule.model.items import Wish
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.uplink.joining import renew
from bascule.replication.uplink.papers import Desk, Papers
from bascule.replication.uplink.uplink import Pace, Uplink
from lab.waiting import wait_until
from tests.front.agents.scenes import House

from .cables import Cable

DAY = 86400.0
EAGER = Pace(first_seconds=0.01, most_seconds=0.05, refused_seconds=0.05)
PROTECT = {"machines": ["fake:a"], "store": "/store", "key_file": "/key"}


class PowerCut(BaseException):
    """The process is gone."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    limits = Limits(wait_seconds=0.3, body_seconds=1.0, stranger_seconds=5.0, look_seconds=0.02)
    with House(tmp_path / "vault", limits).open() as made:
        yield made


@pytest.fixture
def provider(tmp_path: Path) -> ProviderFolder:
    return ProviderFolder(tmp_path / "provider")


def uplink(house: House, provider: ProviderFolder) -> Uplink:
    return Uplink(provider, HostCredentials(), house.clock, SystemIds(), EAGER)


@contextmanager
def running(house: House, provider: ProviderFolder) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=uplink(house, provider).run, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def give(house: House, papers: Papers, *verbs: str) -> None:
    for number, verb in enumerate(verbs):
        house.behind.hosts.give(papers.host, f"o{number}", verb, "web", PROTECT if verb == "protect" else {})


def is_done(house: House) -> bool:
    return not house.behind.hosts.orders(only_open=True)


def wish(provider: ProviderFolder) -> Wish:
    found = provider.item("web").wish()
    assert found is not None
    return found


def judge(house: House, provider: ProviderFolder) -> None:
    """Each of ``protect resync resync`` changed the wish once, in their order, and the vault knows."""
    assert (wish(provider).generation, wish(provider).resync) == (3, 2)
    results = [order.result for order in house.behind.hosts.orders()]
    assert [result and result.generation for result in results] == [1, 2, 3]


@contextmanager
def power_cut(after: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Die at a durable write: an even one is seen by who comes after, an odd one is not."""
    left, sync = [after], os.fsync

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise PowerCut
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.mark.parametrize("after", range(1, 14))
def test_a_power_cut_at_any_write_loses_no_command_and_repeats_none(
    house: House, provider: ProviderFolder, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = house.join(provider.path)
    give(house, papers, "protect", "resync", "resync")
    with power_cut(after, monkeypatch):
        for _ in range(4):
            try:
                uplink(house, provider).hear(papers)
            except PowerCut:
                continue
    assert is_done(house)
    judge(house, provider)


def test_a_network_that_is_cut_at_every_step_loses_no_command_and_repeats_none(
    house: House, provider: ProviderFolder
) -> None:
    """Each connection lives one piece longer: handshake, question, answer, the next question."""
    cable = Cable(house.address, lambda number: number // 2)
    papers = house.join(provider.path)
    Desk(provider.path).join(house.invite(address=cable.address), papers.host)
    give(house, papers, "protect", "resync", "resync")
    with running(house, provider):
        wait_until(lambda: is_done(house))
        judge(house, provider)
        wait_until(lambda: "web" in house.host(papers.host).groups)
    assert cable.connections > 6
    cable.close()


def test_a_host_that_was_cut_off_obeys_when_it_is_back(house: House, provider: ProviderFolder) -> None:
    cable = Cable(house.address)
    papers = house.join(provider.path)
    Desk(provider.path).join(house.invite(address=cable.address), papers.host)
    with running(house, provider):
        wait_until(lambda: house.host(papers.host).seen_at is not None)
        cable.cut()
        wait_until(lambda: Desk(provider.path).contact().code != "")
        give(house, papers, "protect", "resync", "resync")
        assert provider.items() == []
        cable.mend()
        wait_until(lambda: is_done(house))
        wait_until(lambda: Desk(provider.path).contact().code == "")
    judge(house, provider)
    cable.close()


def test_a_vault_that_was_away_goes_on_where_it_was(tmp_path: Path, provider: ProviderFolder) -> None:
    house = House(tmp_path / "vault")
    with house.open():
        papers = house.join(provider.path)
    with running(house, provider):
        with house.open():
            give(house, papers, "protect", "resync", "resync")
            wait_until(lambda: is_done(house))
            wait_until(lambda: "web" in house.host(papers.host).groups)
        wait_until(lambda: Desk(provider.path).contact().code != "")
        with house.open():
            house.behind.hosts.give(papers.host, "o9", "unprotect", "web", {})
            wait_until(lambda: is_done(house))
            wait_until(lambda: house.host(papers.host).groups == {})


@pytest.mark.parametrize("after", range(1, 7))
def test_registering_may_be_cut_anywhere_and_makes_one_host(
    house: House, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = house.invite()
    with power_cut(after, monkeypatch):
        for _ in range(2):
            try:
                papers = house.join(tmp_path / "one", invitation)
            except PowerCut:
                continue
    assert [host.id for host in house.behind.hosts.all()] == [papers.host]
    uplink(house, ProviderFolder(tmp_path / "one")).hear(papers)


@pytest.mark.parametrize("after", range(1, 7))
def test_registering_anew_may_be_cut_anywhere_and_keeps_the_host(
    house: House, provider: ProviderFolder, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.join(provider.path)
    house.behind.hosts.revoke(before.host)
    invitation = house.invite(host=before.host)
    with power_cut(after, monkeypatch):
        for _ in range(2):
            try:
                papers = house.join(provider.path, invitation)
            except PowerCut:
                continue
    assert papers.host == before.host
    uplink(house, provider).hear(papers)


def test_registering_over_a_network_that_is_cut_at_every_step_makes_one_host(
    house: House, tmp_path: Path
) -> None:
    cable = Cable(house.address, lambda number: number - 1)
    invitation = house.invite(address=cable.address)
    papers = _until_it_answers(lambda: house.join(tmp_path / "one", invitation))
    assert [host.id for host in house.behind.hosts.all()] == [papers.host]
    assert cable.connections > 3
    cable.close()


@pytest.mark.parametrize("after", range(1, 5))
def test_renewing_may_be_cut_anywhere(
    house: House, provider: ProviderFolder, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers, desk = house.join(provider.path), Desk(provider.path)
    with power_cut(after, monkeypatch):
        for _ in range(2):
            try:
                renew(desk, papers, HostCredentials())
            except PowerCut:
                continue
    uplink(house, provider).hear(papers)
    assert renew(desk, papers, HostCredentials()).host == papers.host


def test_renewing_over_a_network_that_is_cut_at_every_step(house: House, provider: ProviderFolder) -> None:
    cable = Cable(house.address, lambda number: number - 1)
    papers, desk = house.join(provider.path), Desk(provider.path)
    desk.join(house.invite(address=cable.address), papers.host)
    far = desk.papers()
    assert far is not None
    _until_it_answers(lambda: renew(desk, far, HostCredentials()))
    uplink(house, provider).hear(papers)
    cable.close()


def _until_it_answers(ask: Callable[[], object]) -> Papers:
    for _ in range(20):
        try:
            return ask()
        except Unavailable:
            continue
    raise AssertionError("twenty connections were not enough")


@pytest.mark.parametrize("days", [70, 365])
def test_a_certificate_renews_itself_in_time_and_after_it_expired(
    house: House, provider: ProviderFolder, days: int
) -> None:
    """As on a host that was off since it got one so many days ago; TLS has the real time."""
    papers, own, desk = house.join(provider.path), HostCredentials(), Desk(provider.path)
    house.clock.shift = -days * DAY
    before = renew(desk, papers, own)
    house.clock.shift = 0.0
    uplink(house, provider).hear(papers)
    after = own.read(desk.pair()[0])
    assert after.expires_at == pytest.approx(before.expires_at + days * DAY, abs=60)
    assert house.host(papers.host).certificate_expires_at == after.expires_at


def test_a_certificate_that_has_time_left_is_kept(house: House, provider: ProviderFolder) -> None:
    papers = house.join(provider.path)
    before = Desk(provider.path).pair()
    house.clock.shift = 20 * DAY
    uplink(house, provider).hear(papers)
    assert Desk(provider.path).pair() == before


def test_a_host_whose_clock_is_behind_renews_when_it_is_hung_up_on(
    house: House, provider: ProviderFolder
) -> None:
    papers = house.join(provider.path)
    house.clock.shift = -365 * DAY
    renew(Desk(provider.path), papers, HostCredentials())
    slow = House(house.folder)
    slow.clock.shift = -365 * DAY
    house.clock.shift = 0.0
    with running(slow, provider):
        wait_until(lambda: house.host(papers.host).certificate_expires_at > house.clock.now())
        give(house, papers, "protect")
        wait_until(lambda: is_done(house))


def test_a_host_that_is_revoked_says_so_and_replicates_on(house: House, provider: ProviderFolder) -> None:
    papers = house.join(provider.path)
    house.behind.hosts.revoke(papers.host)
    with running(house, provider):
        wait_until(lambda: Desk(provider.path).contact().code == "revoked")
    with pytest.raises(Refused):
        uplink(house, provider).hear(papers)
    house.join(provider.path, house.invite(host=papers.host))
    with running(house, provider):
        wait_until(lambda: Desk(provider.path).contact().code == "")
