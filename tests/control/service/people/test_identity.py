"""Who signs in: with the right secret, not too often, and only as long as they are let in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.control.service.people.attempts import FAILURES_MAX, WINDOW_SECONDS
from bascule.control.service.people.doorkeeper import SECRET_SECONDS, TOKEN_SECONDS, Doorkeeper
from bascule.control.service.people.identity import IdentityDesk
from bascule.control.service.service import Service
from bascule.drivers.hosts.principals import SqlPrincipals
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import Caller, Role
from bascule.model.vault.principal import SECRETS_MAX
from tests.control.service.desks import ANNA, OWNER, desks


class SetClock(SystemClock):
    """A clock that stands as long as nobody moves it."""

    at = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Opened:
    def __init__(self, service: Service, principals: SqlPrincipals) -> None:
        self.service = service
        self.clock = SetClock()
        self.principals = principals
        ids = SystemIds()
        keeper = Doorkeeper(service.gate, principals, self.clock, ids)
        self.desk = IdentityDesk(service.gate, principals, keeper, self.clock, ids)

    def codes(self) -> set[tuple[str, str, str]]:
        self.service.gate.settle()
        return {(deed.who, deed.what, deed.code) for deed in self.service.vaults.deeds(OWNER, "")}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with desks(tmp_path) as (service, _), closing(SqliteDatabase(tmp_path / "hosts.sqlite")) as database:
        yield Opened(service, SqlPrincipals(database, SystemIds()))


def refused(code: str, desk: IdentityDesk, id: str, secret: str) -> None:
    with pytest.raises(Refused) as refusal:
        desk.sign_in(id, secret)
    assert refusal.value.code == code


def test_a_program_signs_in_and_is_who_it_was_made(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup", is_owner=True)
    token = opened.desk.sign_in(made.principal.id, made.secret)
    assert token.lasts_seconds == TOKEN_SECONDS
    assert opened.desk.who(token.text) == Caller("backup", is_owner=True)
    assert {("backup", "sign-in", ""), ("root", "create-principal", "")} <= opened.codes()


def test_a_secret_is_kept_nowhere(opened: Opened, tmp_path: Path) -> None:
    made = opened.desk.create(OWNER, "backup")
    for path in tmp_path.iterdir():
        if path.is_file():
            assert made.secret.encode() not in path.read_bytes()
    assert made.secret not in repr(made.principal)


def test_a_wrong_secret_and_an_unknown_name_are_refused_alike_and_written_down(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    for id, secret in (
        (made.principal.id, "wrong"),
        ("nobody", made.secret),
        ("", ""),
        ("nobody", "x" * 999),
    ):
        refused("invalid-client", opened.desk, id, secret)
    said = opened.codes()
    assert {("backup", "sign-in", "invalid-client"), ("(unknown)", "sign-in", "invalid-client")} <= said


@pytest.mark.slow
def test_who_guesses_is_locked_out_for_a_while_and_nobody_else_is(opened: Opened) -> None:
    made, other = opened.desk.create(OWNER, "backup"), opened.desk.create(OWNER, "portal")
    for _ in range(FAILURES_MAX):
        refused("invalid-client", opened.desk, made.principal.id, "wrong")
    refused("too-many-attempts", opened.desk, made.principal.id, made.secret)
    assert opened.desk.sign_in(other.principal.id, other.secret)
    opened.clock.at += WINDOW_SECONDS
    assert opened.desk.sign_in(made.principal.id, made.secret)


@pytest.mark.slow
def test_a_token_ends_with_its_time_its_secret_and_its_principal(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    id = made.principal.id
    first = opened.desk.sign_in(id, made.secret).text
    renewed = opened.desk.renew(OWNER, id)
    second = opened.desk.sign_in(id, renewed.secret).text
    opened.desk.forget(OWNER, id, made.principal.secrets[0].id)
    with pytest.raises(Refused, match="not let in any more"):
        opened.desk.who(first)
    assert opened.desk.who(second) == Caller("backup")
    refused("invalid-client", opened.desk, id, made.secret)
    opened.clock.at += TOKEN_SECONDS
    with pytest.raises(Refused, match="has expired"):
        opened.desk.who(second)
    third = opened.desk.sign_in(id, renewed.secret).text
    opened.desk.remove(OWNER, id)
    with pytest.raises(Refused, match="not let in any more"):
        opened.desk.who(third)


def test_a_secret_expires_and_a_token_not_after_it(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    opened.clock.at += SECRET_SECONDS - 60
    assert opened.desk.sign_in(made.principal.id, made.secret).lasts_seconds == 60
    opened.clock.at += 60
    refused("invalid-client", opened.desk, made.principal.id, made.secret)


def test_secrets_do_not_pile_up(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    for _ in range(SECRETS_MAX - 1):
        opened.desk.renew(OWNER, made.principal.id)
    with pytest.raises(Refused, match=f"backup has {SECRETS_MAX} secrets"):
        opened.desk.renew(OWNER, made.principal.id)


def test_a_principal_that_goes_takes_its_roles_along(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    opened.service.vaults.assign(OWNER, "north", "backup", Role.READER)
    opened.desk.remove(OWNER, made.principal.id)
    opened.desk.create(OWNER, "backup")
    assert opened.service.vaults.list(Caller("backup")) == ()


def test_only_the_owner_manages_principals(opened: Opened) -> None:
    made = opened.desk.create(OWNER, "backup")
    id = made.principal.id
    for call in (
        lambda: opened.desk.create(ANNA, "mine"),
        lambda: opened.desk.list(ANNA),
        lambda: opened.desk.renew(ANNA, id),
        lambda: opened.desk.forget(ANNA, id, made.principal.secrets[0].id),
        lambda: opened.desk.remove(ANNA, id),
    ):
        with pytest.raises(Refused, match="is for the owner"):
            call()
    assert opened.desk.list(OWNER) == (made.principal,)
    with pytest.raises(Missing):
        opened.desk.forget(OWNER, id, "none")
