"""People: a password each, sessions that end with it, and devices that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.apps.vault.api_door import desks_of
from bascule.control.service.people.attempts import FAILURES_MAX, SIGN_INS_MAX
from bascule.control.service.people.doorkeeper import LOCKED_SECONDS, SESSION_SECONDS
from bascule.control.service.people.users import DEVICE_SECONDS, UserDesk
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.front.api.asking import Desks
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.access import Caller, Role
from tests.control.service.desks import ANNA, OWNER, desks
from tests.control.service.people.test_identity import SetClock

PASSWORD = "correct horse battery"
PERSON = Caller("carla")


class Opened:
    def __init__(self, stood: Desks, clock: SetClock) -> None:
        self.stood = stood
        self.clock = clock
        self.users: UserDesk = stood.users

    def who(self, token: str) -> Caller:
        return self.stood.identity.who(token)

    def deeds(self) -> set[tuple[str, str, str]]:
        self.stood.service.gate.settle()
        return {(deed.who, deed.what, deed.code) for deed in self.stood.service.vaults.deeds(OWNER, "")}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with desks(tmp_path) as (service, _), closing(SqliteDatabase(tmp_path / "hosts.sqlite")) as database:
        clock = SetClock()
        opened = Opened(desks_of(service, database, clock, SystemIds()), clock)
        opened.users.create(OWNER, "carla", PASSWORD)
        yield opened


def refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(Refused) as refusal:
        call()
    assert refusal.value.code == code


def test_a_person_signs_in_and_is_what_their_role_says(opened: Opened) -> None:
    opened.stood.service.vaults.assign(OWNER, "north", "carla", Role.READER)
    session = opened.users.sign_in("Carla", PASSWORD, "az")
    assert opened.who(session.token.text) == PERSON
    assert [one.name for one in opened.stood.service.vaults.list(PERSON)] == ["north"]
    assert {("root", "create-user", ""), ("carla", "sign-in", "")} <= opened.deeds()
    opened.users.remove(OWNER, "carla")
    refused("revoked", lambda: opened.who(session.token.text))
    opened.users.create(OWNER, "carla", PASSWORD)
    assert opened.stood.service.vaults.list(PERSON) == ()


def test_a_password_is_drawn_and_told_once_unless_one_is_given(opened: Opened, tmp_path: Path) -> None:
    made = opened.users.create(OWNER, "dora")
    assert len(made.password) > 30
    assert opened.users.sign_in("dora", made.password, "az")
    for path in tmp_path.iterdir():
        if path.is_file():
            assert made.password.encode() not in path.read_bytes()
    for bad in ("short", "Emil is the best", "x" * 300):
        refused("bad-password", lambda bad=bad: opened.users.create(OWNER, "emil", bad))
    with pytest.raises(Exists):
        opened.users.create(OWNER, "CARLA", PASSWORD)


def test_programs_and_people_do_not_sign_in_as_each_other(opened: Opened) -> None:
    program = opened.stood.identity.create(OWNER, "backup")
    (person,) = opened.users.list(OWNER)
    refused("invalid-client", lambda: opened.stood.identity.sign_in(person.id, PASSWORD))
    refused("invalid-client", lambda: opened.users.sign_in("backup", program.secret, ""))
    assert opened.stood.identity.list(OWNER) == (program.principal,)
    for call in (
        lambda: opened.stood.identity.remove(OWNER, person.id),
        lambda: opened.stood.identity.renew(OWNER, person.id),
        lambda: opened.users.remove(OWNER, "backup"),
    ):
        with pytest.raises(Missing):
            call()


@pytest.mark.slow
def test_who_guesses_a_password_is_locked_out_for_longer_and_the_owner_unlocks(opened: Opened) -> None:
    opened.users.create(OWNER, "dora", PASSWORD)
    for _ in range(FAILURES_MAX):
        refused("invalid-client", lambda: opened.users.sign_in("carla", "wrong", ""))
    opened.clock.at += LOCKED_SECONDS - 1
    refused("too-many-attempts", lambda: opened.users.sign_in("carla", PASSWORD, ""))
    assert opened.users.sign_in("dora", PASSWORD, "")
    fresh = opened.users.reset(OWNER, "carla").password
    assert opened.users.sign_in("carla", fresh, "")
    assert ("carla", "sign-in", "too-many-attempts") in opened.deeds()


def test_a_session_goes_on_until_it_ends_and_no_longer(opened: Opened) -> None:
    session = opened.users.sign_in("carla", PASSWORD, "az")
    opened.clock.at += SESSION_SECONDS - 1
    again = opened.users.renewed(session.refresh, "az")
    assert opened.who(again.token.text) == PERSON
    opened.clock.at += 1
    for refresh in (session.refresh, again.refresh):
        refused("expired-token", lambda refresh=refresh: opened.users.renewed(refresh, "az"))


def test_no_token_passes_for_another(opened: Opened) -> None:
    server = opened.stood.identity.server
    session = opened.users.sign_in("carla", PASSWORD, server)
    for token in (session.refresh, session.told):
        refused("invalid-token", lambda token=token: opened.who(token))
    for token in (session.token.text, session.told):
        refused("invalid-token", lambda token=token: opened.users.renewed(token, "az"))


@pytest.mark.slow
def test_who_changes_a_password_ends_what_was_got_by_the_old_one(opened: Opened) -> None:
    session = opened.users.sign_in("carla", PASSWORD, "az")
    refused("invalid-client", lambda: opened.users.change(PERSON, "wrong", "another good one"))
    refused("bad-password", lambda: opened.users.change(PERSON, PASSWORD, PASSWORD))
    refused("bad-password", lambda: opened.users.change(PERSON, PASSWORD, "short"))
    opened.users.change(PERSON, PASSWORD, "another good one")
    refused("revoked", lambda: opened.who(session.token.text))
    refused("revoked", lambda: opened.users.renewed(session.refresh, "az"))
    refused("invalid-client", lambda: opened.users.sign_in("carla", PASSWORD, ""))
    assert opened.users.sign_in("carla", "another good one", "")
    kinds = {(who, code) for who, what, code in opened.deeds() if what == "change-password"}
    assert {("carla", ""), ("carla", "invalid-client")} <= kinds
    with pytest.raises(Missing):
        opened.users.change(Caller("backup"), PASSWORD, "another good one")


def test_only_the_owner_makes_and_removes_people(opened: Opened) -> None:
    for call in (
        lambda: opened.users.list(ANNA),
        lambda: opened.users.create(ANNA, "dora", PASSWORD),
        lambda: opened.users.reset(PERSON, "carla"),
        lambda: opened.users.remove(ANNA, "carla"),
    ):
        refused("not-permitted", call)


@pytest.mark.slow
def test_a_device_waits_until_a_person_agrees_and_is_signed_in_once(opened: Opened) -> None:
    waiting = opened.users.wait()
    refused("authorization-pending", lambda: opened.users.arrived(waiting.secret, "az"))
    refused("invalid-client", lambda: opened.users.agree(waiting.code, "carla", "wrong"))
    with pytest.raises(Missing):
        opened.users.agree("BBBB-BBBB", "carla", PASSWORD)
    opened.users.agree(waiting.code.lower(), "carla", PASSWORD)
    with pytest.raises(Missing):
        opened.users.agree(waiting.code, "carla", PASSWORD)
    assert opened.who(opened.users.arrived(waiting.secret, "az").token.text) == PERSON
    with pytest.raises(Missing):
        opened.users.arrived(waiting.secret, "az")
    assert {("carla", "agree-to-device", ""), ("carla", "sign-in-device", "")} <= opened.deeds()


def test_a_device_waits_only_so_long_and_only_so_many_do(opened: Opened) -> None:
    waiting = opened.users.wait()
    opened.clock.at += DEVICE_SECONDS
    with pytest.raises(Missing):
        opened.users.agree(waiting.code, "carla", PASSWORD)
    refused("expired-device", lambda: opened.users.arrived(waiting.secret, "az"))
    for _ in range(SIGN_INS_MAX):
        opened.users.wait()
    refused("too-many-attempts", opened.users.wait)


def test_a_device_is_not_signed_in_by_a_password_that_was_changed_meanwhile(opened: Opened) -> None:
    waiting = opened.users.wait()
    opened.users.agree(waiting.code, "carla", PASSWORD)
    opened.users.reset(OWNER, "carla")
    refused("revoked", lambda: opened.users.arrived(waiting.secret, "az"))
