"""The vault's door and those who should not come in: refused, written down, bounded, and nothing changed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.pki.authority import FolderAuthority
from bascule.drivers.pki.credentials import HostCredentials
from bascule.front.agents.door import Limits
from bascule.front.agents.refusals import ALL_MINUTE, EACH_MINUTE, Refusals
from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.model.vault.commands import Command, Report, Result
from bascule.replication.uplink.joining import renew
from bascule.replication.uplink.line import Line
from bascule.replication.uplink.papers import Desk, Papers
from bascule.wire.control import messages
from bascule.wire.control.messages import Exchange, Registration
from lab.waiting import wait_until
from tests.replication.provider.scenes import HandClock

from .scenes import QUICK, SECRET, House, heard, post

DAY = 86400.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "vault").open() as made:
        yield made


@pytest.fixture
def papers(house: House, tmp_path: Path) -> Papers:
    return house.join(tmp_path / "one")


def ask(papers: Papers, what: str, body: bytes, *, as_guest: bool = True) -> bytes:
    line = Line(as_guest=as_guest)
    try:
        return line.ask(papers, what, body)
    finally:
        line.hang_up()


def commands(papers: Papers, after: int = 0, *results: Result, host: str = "") -> tuple[Command, ...]:
    asked = Exchange(host or papers.host, after, results)
    return messages.commands_from(ask(papers, "commands", messages.written(asked)))


def refused(papers: Papers, what: str, body: bytes, *, as_guest: bool = True) -> str:
    with pytest.raises(BasculeError) as caught:
        ask(papers, what, body, as_guest=as_guest)
    return caught.value.code


def test_a_host_that_joined_hears_commands_at_once_and_answers(house: House, papers: Papers) -> None:
    found: list[tuple[Command, ...]] = []
    waiting = threading.Thread(target=lambda: found.append(commands(papers)))
    waiting.start()
    wait_until(lambda: house.host(papers.host).seen_at is not None)
    given = house.behind.hosts.give(papers.host, "o1", "pause", "web", {})
    waiting.join()
    assert found == [(given,)]
    commands(papers, 1, Result(1, "o1", True, 3))
    (order,) = house.behind.hosts.orders(papers.host)
    assert order.result == Result(1, "o1", True, 3)


def test_registration_keys_that_are_forged_expired_or_replayed_let_nobody_in(
    house: House, papers: Papers, tmp_path: Path
) -> None:
    good = house.invite()
    wrong = {
        "unknown-key": replace(good, secret="guessed"),
        "key-expired": house.invite(lasts=-1.0),
    }
    for code, invitation in wrong.items():
        with pytest.raises(Refused) as caught:
            house.join(tmp_path / code, invitation)
        assert caught.value.code == code
        assert len(house.deeds(code)) == 1
    own = HostCredentials()
    for key, code in ((house.invite().key, "host-known"), ("k1", "key-used")):
        stolen = Registration(papers.host, "thief", key, SECRET, own.request(own.make_key()))
        assert refused(papers, "register", messages.written(stolen), as_guest=False) == code
        assert house.deeds(code)[0].who.startswith("127.0.0.1")
    assert [one.id for one in house.behind.hosts.all()] == [papers.host]
    assert all(SECRET not in str(deed) for deed in house.behind.audit.deeds(100))
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in house.folder.glob("hosts.sqlite*"))


def test_a_host_speaks_for_itself_only(house: House, papers: Papers, tmp_path: Path) -> None:
    other = house.join(tmp_path / "two")
    house.behind.hosts.give(papers.host, "o1", "pause", "web", {})
    assert refused(other, "commands", messages.written(Exchange(papers.host, 0))) == "another-host"
    report = messages.written(Report(papers.host, 1, 0, {"web": {}}))
    assert refused(other, "facts", report) == "another-host"
    commands(other, 0, Result(1, "o1", True))
    assert house.behind.hosts.orders(papers.host)[0].result is None
    assert house.host(papers.host).groups == {}
    assert other.host in house.deeds("another-host")[0].who


def test_certificates_of_another_vault_do_not_get_through_the_handshake(
    house: House, papers: Papers, tmp_path: Path
) -> None:
    own, other = HostCredentials(), FolderAuthority.make(tmp_path / "other", house.clock, SystemIds())
    key = own.make_key()
    forged = tmp_path / "forged.pem"
    forged.write_bytes(key + other.issue(own.request(key), papers.host).text.encode())
    code = refused(replace(papers, pem=forged), "commands", messages.written(Exchange(papers.host, 0)))
    assert code == "hung-up"
    assert house.deeds("handshake")
    text = forged.read_text().partition("-----BEGIN CERTIFICATE-----")
    request = own.request(key)
    renewal = messages.Renewal(text[1] + text[2], request, own.sign(key, b"whatever"))
    assert refused(papers, "renew", messages.written(renewal), as_guest=False) == "foreign-certificate"


def test_the_door_of_another_vault_hears_no_secret(house: House, tmp_path: Path) -> None:
    with House(tmp_path / "other").open() as other:
        invitation = house.invite(address=other.address)
        with pytest.raises(Unavailable) as caught:
            house.join(tmp_path / "one", invitation)
        assert caught.value.code == "not-the-vault"
        assert other.deeds("handshake")


def test_without_a_certificate_nothing_is_heard(house: House, papers: Papers) -> None:
    for what in ("commands", "facts"):
        body = messages.written(Exchange(papers.host, 0))
        assert refused(papers, what, body, as_guest=False) == "no-certificate"


def test_who_is_revoked_gets_nothing_any_more_not_even_what_was_waited_for(
    house: House, papers: Papers, tmp_path: Path
) -> None:
    codes: list[str] = []
    body = messages.written(Exchange(papers.host, 0))
    waiting = threading.Thread(target=lambda: codes.append(refused(papers, "commands", body)))
    waiting.start()
    wait_until(lambda: house.host(papers.host).seen_at is not None)
    with house.behind.hosts._database.write() as rows:
        rows.execute("UPDATE hosts SET is_revoked=1")
        rows.execute(
            "INSERT INTO orders (host, sequence, id, verb, grp, arguments) VALUES (?, ?, ?, ?, ?, ?)",
            (papers.host, 1, "o1", "pause", "web", "{}"),
        )
    waiting.join()
    assert codes == ["revoked"]
    with pytest.raises(Refused, match="revoked"):
        renew(Desk(tmp_path / "one"), papers, HostCredentials())
    wait_until(lambda: len(house.deeds("revoked")) == 2)


def test_a_certificate_is_renewed_before_and_long_after_it_expired(
    house: House, papers: Papers, tmp_path: Path
) -> None:
    desk = Desk(tmp_path / "one")
    assert renew(desk, papers, HostCredentials()).expires_at > house.clock.now() + 80 * DAY
    house.clock.shift = -200 * DAY
    old = renew(desk, papers, HostCredentials())
    assert old.expires_at < house.clock.now() + 200 * DAY
    house.clock.shift = 0.0
    assert refused(papers, "commands", messages.written(Exchange(papers.host, 0))) == "hung-up"
    fresh = renew(desk, papers, HostCredentials())
    assert fresh.expires_at > house.clock.now() + 80 * DAY
    house.behind.hosts.give(papers.host, "o1", "pause", "web", {})
    assert len(commands(papers)) == 1


def test_a_renewal_needs_the_old_key_and_serves_once(house: House, papers: Papers, tmp_path: Path) -> None:
    desk, own = Desk(tmp_path / "one"), HostCredentials()
    text, key = desk.pair()
    request = own.request(own.make_key())
    old = own.read(text)
    words = messages.renewal_words(papers.vault, papers.host, old.serial, request)
    forged = messages.Renewal(text, request, own.sign(own.make_key(), words))
    assert refused(papers, "renew", messages.written(forged), as_guest=False) == "bad-proof"
    other = messages.Renewal(text, own.request(own.make_key()), own.sign(key, words))
    assert refused(papers, "renew", messages.written(other), as_guest=False) == "bad-proof"
    right = messages.written(messages.Renewal(text, request, own.sign(key, words)))
    once = ask(papers, "renew", right, as_guest=False)
    assert ask(papers, "renew", right, as_guest=False) == once
    again = own.request(own.make_key())
    words = messages.renewal_words(papers.vault, papers.host, old.serial, again)
    late = messages.Renewal(text, again, own.sign(key, words))
    assert refused(papers, "renew", messages.written(late), as_guest=False) == "superseded"


@pytest.mark.parametrize("is_guest", [True, False])
def test_huge_deep_and_broken_bodies_are_refused_and_written_down(
    house: House, papers: Papers, is_guest: bool
) -> None:
    what = "facts" if is_guest else "register"
    limit = messages.GUEST_BYTES if is_guest else messages.STRANGER_BYTES
    for body, code in (
        (b"[" * 10_000, "malformed"),
        (b'{"needs":1,"deep":' + b"[" * 10_000, "malformed"),
        (b"\xff\xfe", "malformed"),
        (b" " * (limit + 1), "too-large"),
    ):
        assert refused(papers, what, body, as_guest=is_guest) == code
        assert house.deeds(code)[0].what == what
    assert house.host(papers.host).groups == {}


def test_a_body_that_is_announced_as_huge_is_not_waited_for(house: House, papers: Papers) -> None:
    with house.connected(papers) as line:
        line.sendall(post("facts", 1 << 40, b" " * (messages.GUEST_BYTES + 1)))
        assert b"413" in heard(line)


@pytest.mark.lab
def test_who_drips_is_dismissed(house: House, papers: Papers) -> None:
    """A body, by a guest; a header, by a guest and by nobody; nothing at all."""
    with house.connected(papers) as line:
        line.sendall(post("facts", 1000, b"{"))
        assert b"too-slow" in heard(line)
    for who in (papers, None):
        for words in (b"POST /v1/facts HTTP/1.1\r\nHo", b""):
            with house.connected(who) as line:
                line.sendall(words)
                assert heard(line) == b""


def test_one_host_does_not_take_all_places(house: House, papers: Papers, tmp_path: Path) -> None:
    """Its oldest connections are let go of: perhaps they are those that were cut."""
    body = messages.written(Exchange(papers.host, 0))
    lines: list[ssl.SSLSocket] = []
    opened = [house.connected(papers) for _ in range(5)]
    for number, one in enumerate(opened):
        lines.append(one.__enter__())
        lines[-1].sendall(post("commands", len(body), body))
        if number < 4:
            lines[-1].settimeout(0.2)
            with pytest.raises(TimeoutError):
                lines[-1].recv(1)
            lines[-1].settimeout(10)
    assert heard(lines[0]) == b""
    house.behind.hosts.give(papers.host, "o1", "pause", "web", {})
    assert b'"o1"' in lines[4].recv(65536)
    for one in opened:
        one.__exit__(None, None, None)


def test_more_connections_than_there_are_places_are_closed_and_written_down(tmp_path: Path) -> None:
    limits = Limits(connections=2, stranger_seconds=30.0, look_seconds=QUICK.look_seconds)
    with House(tmp_path / "vault", limits).open() as house:
        with house.connected(), house.connected():
            assert not _gets_in(house)
            assert house.deeds("too-many-connections")
        wait_until(lambda: _gets_in(house))


def _gets_in(house: House) -> bool:
    try:
        with house.connected() as line:
            line.sendall(post("facts", 0))
            line.settimeout(1)
            return b"403" in line.recv(65536)
    except OSError:
        return False


def test_a_flood_of_refusals_is_counted_and_not_written() -> None:
    clock, lines = HandClock(), []
    refusals = Refusals(lambda *words: lines.append(words), clock)
    for number in range(500):
        refusals.add(f"10.0.0.{number % 20} as h", "commands", "", "revoked", "")
    assert len(lines) == ALL_MINUTE
    for _ in range(50):
        refusals.add("10.0.0.1", "commands", "", "revoked", "")
    clock.time += 60
    lines.clear()
    for _ in range(50):
        refusals.add("10.0.0.1", "commands", "", "revoked", "")
    assert lines[0][3:] == ("too-many", f"{500 - ALL_MINUTE + 50} more refusals within a minute")
    assert len(lines) == 1 + EACH_MINUTE
