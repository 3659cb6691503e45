"""People are added, given passwords and removed from the command line. A server in this process."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.control.service.desks import OWNER
from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk, Done
from tests.front.cli.remote.signed import fingerprint, owners

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("users")) as found:
        yield found


@pytest.fixture
def owner(desk: Desk, server: Served) -> Desk:
    """A desk at which the owner of the server signed in."""
    return owners(desk, server)


def login(server: Served, *more: str | Path) -> tuple[str | Path, ...]:
    return ("login", server.base, "--fingerprint", fingerprint(server), *more, "--json")


def signed_in(desk: Desk, server: Served, user: str, file: Path) -> Done:
    return desk.run(*login(server, "--user", user, "--password-file", file, "--profile", user))


def chosen(desk: Desk, name: str, password: str) -> Path:
    desk.path(name).write_text(f"{password}\n")
    return desk.path(name)


@pytest.mark.slow
def test_a_user_comes_in_by_what_was_drawn_and_changes_it(owner: Desk, server: Served) -> None:
    drawn, new = owner.path("gina.password"), chosen(owner, "new", PASSWORD)
    owner.ok("user", "add", "gina", "--out", drawn)
    assert stat.S_IMODE(drawn.stat().st_mode) == 0o600
    owner.ok("role", "set", "gina", "operator", "--vault", "north")
    assert signed_in(owner, server, "gina", drawn).code == 0
    changing = ("user", "password", "--old-password-file", drawn, "--password-file", new, "--profile", "gina")
    owner.ok(*changing)
    owner.ok("vault", "ls", "--profile", "gina")
    owner.path(".config/bascule/gina.token.json").unlink()
    owner.ok("vault", "ls", "--profile", "gina")
    done = owner.run(*changing, "--json")
    assert (done.code, "password" in done.error["message"]) == (2, True)
    assert signed_in(owner, server, "gina", drawn).code == 2
    assert signed_in(owner, server, "gina", new).code == 0


@pytest.mark.slow
def test_the_owner_gives_another_password_and_so_unlocks(owner: Desk, server: Served) -> None:
    first, second = chosen(owner, "first", PASSWORD), owner.path("second")
    owner.ok("user", "add", "hugo", "--password-file", first)
    wrong = chosen(owner, "wrong", "x")
    ends = [signed_in(owner, server, "hugo", wrong).code for _ in range(11)]
    assert (ends[0], ends[-1], signed_in(owner, server, "hugo", first).code) == (2, 3, 3)
    owner.ok("user", "password", "hugo", "--out", second, "--profile", "default")
    assert signed_in(owner, server, "hugo", second).code == 0


@pytest.mark.slow
def test_the_owner_unlocks_whoever_has_the_right_password(owner: Desk, server: Served) -> None:
    right, wrong = chosen(owner, "right", PASSWORD), chosen(owner, "wrong", "x")
    owner.ok("user", "add", "lea", "--password-file", right)
    for _ in range(11):
        signed_in(owner, server, "lea", wrong)
    assert signed_in(owner, server, "lea", right).code == 3
    assert "may try again" in owner.ok("user", "unlock", "lea").out
    assert signed_in(owner, server, "lea", right).code == 0
    assert owner.run("user", "unlock", "lea", "--profile", "lea").code == 2
    deeds = [(deed.who, deed.what, deed.code) for deed in server.service.vaults.deeds(OWNER, "")]
    assert {("root", "unlock-user", ""), ("lea", "unlock-user", "not-permitted")} <= set(deeds)


@pytest.mark.slow
def test_users_are_listed_without_what_is_secret_until_they_are_removed(owner: Desk, server: Served) -> None:
    file = chosen(owner, "chosen", PASSWORD)
    owner.ok("user", "add", "ida", "--owner", "--password-file", file)
    shown = owner.ok("user", "ls")
    assert "ida   owner" in shown.out
    assert PASSWORD not in shown.out + owner.ok("user", "ls", "--json").out
    owner.ok("user", "remove", "ida", "--yes")
    assert "ida" not in [one["name"] for one in owner.ok("user", "ls", "--json").document["value"]]
    assert signed_in(owner, server, "ida", file).code == 2


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        (("add", "kim"), "--out FILE"),
        (("add", "kim", "--out", "a", "--password-file", "b"), "not both"),
        (("password",), "NAME"),
        (("password", "--out", "a"), "--out"),
        (("password", "kim", "--old-password-file", "a"), "--old-password-file"),
        (("password", "nobody", "--out", "nobody.password"), "names them"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_cure(owner: Desk, more: tuple[str, ...], cure: str) -> None:
    done = owner.run("user", *more, "--json")
    assert (done.code, cure in done.error["cure"]) == (2, True)
    assert not Path("nobody.password").exists()


def test_a_file_that_is_there_is_found_before_a_user_is_made(owner: Desk) -> None:
    done = owner.run("user", "add", "kim", "--out", chosen(owner, "taken", "mine"), "--json")
    assert (done.code, done.error["code"]) == (2, "exists")
    assert owner.path("taken").read_text() == "mine\n"
    assert "kim" not in owner.ok("user", "ls", "--json").out


def test_a_password_that_is_too_short_is_refused_by_the_server(owner: Desk) -> None:
    done = owner.run("user", "add", "kim", "--password-file", chosen(owner, "short", "abc"), "--json")
    assert (done.code, done.error["code"]) == (2, "bad-password")
