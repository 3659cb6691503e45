"""People sign in: by password, and for a device that shows a code. A server in this process."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable

import pytest
import requests

from bascule.apps.chance import SystemClock
from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.control.service.people import users
from bascule.control.service.people.doorkeeper import Session
from bascule.model.errors import Unavailable
from tests.control.service.desks import OWNER
from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk, Done
from tests.front.cli.remote.signed import fingerprint

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("sessions")) as found:
        found.users.create(OWNER, "gina", PASSWORD)
        found.ask(f"{found.home()}/basculeRoles/gina", "PUT", json={"properties": {"role": "operator"}})
        yield found


class Pausing(SystemClock):
    """Does something in place of each pause, as the world goes on meanwhile."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self._meanwhile()


def words(server: Served, *more: str) -> list[str]:
    return ["login", server.base, "--fingerprint", fingerprint(server), "--json", *more]


def by_password(
    desk: Desk, server: Served, password: str, *, user: str = "gina", profile: str = "own"
) -> Done:
    desk.path("password").write_text(f"{password}\n")
    more = ("--user", user, "--password-file", str(desk.path("password")), "--profile", profile)
    return desk.run(*words(server, *more))


def by_device(desk: Desk, server: Served, meanwhile: Callable[[str], None], *more: str) -> Done:
    """Sign in for a device; what happens in each pause is told the code that was shown."""
    heard: list[str] = []

    def pause() -> None:
        heard.append(desk.capture.readouterr().err)
        meanwhile("".join(heard).split("the code\n  ")[1].split("\n")[0])

    desk.capture.readouterr()
    tools = SystemTools(desk.settings)
    tools.clock = Pausing(pause)
    code = run(words(server, "--device", *more), tools)
    out, err = desk.capture.readouterr()
    return Done(code, out, "".join(heard) + err)


def agree(server: Served, code: str) -> None:
    form = {"code": code, "user": "gina", "password": PASSWORD}
    answer = requests.post(f"{server.base}/device", data=form, verify=server.authority, timeout=30)
    assert answer.status_code == 200


def kept(desk: Desk, profile: str = "own") -> dict[str, str]:
    return json.loads(desk.path(".config/bascule/profiles.json").read_text())["profiles"][profile]


@pytest.mark.slow
def test_a_person_signs_in_by_password_and_only_what_renews_is_kept(desk: Desk, server: Served) -> None:
    done = by_password(desk, server, PASSWORD)
    assert (done.code, done.document["user"], done.document["vault"]) == (0, "gina", "north")
    folder = desk.path(".config/bascule")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert not any(PASSWORD in path.read_text() for path in folder.iterdir())
    session = kept(desk)["session"]
    assert session
    assert kept(desk)["secret"] == ""
    listed = desk.ok("profile", "ls", "--json").out
    assert session not in listed
    assert '"gina"' in listed


@pytest.mark.slow
def test_a_session_goes_on_without_its_token_until_it_is_over(desk: Desk, server: Served) -> None:
    server.users.create(OWNER, "hugo", PASSWORD)
    server.ask(f"{server.home()}/basculeRoles/hugo", "PUT", json={"properties": {"role": "reader"}})
    assert by_password(desk, server, PASSWORD, user="hugo").code == 0
    desk.path(".config/bascule/own.token.json").unlink()
    desk.ok("vault", "ls")
    server.users.reset(OWNER, "hugo")
    done = desk.run("vault", "ls", "--json")
    assert (done.code, done.error["code"]) == (2, "session-over")
    assert f"bascule login {server.base} --user hugo" in done.error["cure"]
    desk.ok("logout")
    assert [path.name for path in desk.path(".config/bascule").iterdir()] == ["profiles.json"]


@pytest.mark.slow
def test_who_signs_out_ends_the_session_wherever_a_copy_of_it_is(desk: Desk, server: Served) -> None:
    assert by_password(desk, server, PASSWORD).code == 0
    assert by_password(desk, server, PASSWORD, profile="other").code == 0
    copied = {path.name: path.read_bytes() for path in desk.path(".config/bascule").iterdir()}
    assert desk.ok("logout", "--profile", "own", "--json").document["sessionEnded"]
    for name, data in copied.items():
        desk.path(f".config/bascule/{name}").write_bytes(data)
    assert desk.run("vault", "ls", "--profile", "own", "--json").error["code"] == "session-over"
    desk.path(".config/bascule/own.token.json").unlink(missing_ok=True)
    assert desk.run("vault", "ls", "--profile", "own", "--json").error["code"] == "session-over"
    desk.ok("vault", "ls", "--profile", "other")


@pytest.mark.slow
def test_a_profile_is_forgotten_though_its_server_is_away(desk: Desk, server: Served) -> None:
    assert by_password(desk, server, PASSWORD).code == 0
    path = desk.path(".config/bascule/profiles.json")
    path.write_text(path.read_text().replace(server.base, "https://127.0.0.1:9"))
    done = desk.ok("logout", "--profile", "own")
    assert "was not ended: 127.0.0.1:9 does not answer" in done.err
    assert done.out == "Profile own is forgotten.\n"
    assert json.loads(path.read_text())["profiles"] == {}


@pytest.mark.parametrize(("user", "password"), [("gina", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_password_keeps_nothing(desk: Desk, server: Served, user: str, password: str) -> None:
    done = by_password(desk, server, password, user=user)
    assert (done.code, done.error["code"]) == (2, "not-let-in")
    assert "password" in done.error["cure"]
    assert not desk.path(".config").exists()


@pytest.mark.slow
def test_a_device_waits_until_somebody_agrees_to_its_code(desk: Desk, server: Served) -> None:
    paused: list[str] = []

    def second_time(code: str) -> None:
        paused.append(code)
        if len(paused) == 2:
            agree(server, code)

    done = by_device(desk, server, second_time)
    assert (done.code, len(paused), done.document["user"]) == (0, 2, "gina")
    assert f"{server.base}/device" in done.err
    desk.ok("vault", "ls")


@pytest.mark.slow
def test_a_device_waits_for_a_server_that_does_not_answer_for_a_while(
    desk: Desk, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(self: users.UserDesk, secret: str, client: str) -> Session:
        asked.append(secret)
        if len(asked) < 3:
            raise Unavailable("the database is away", cure="wait")
        return arrived(self, secret, client)

    arrived = users.UserDesk.arrived
    monkeypatch.setattr(users.UserDesk, "arrived", away)
    done = by_device(desk, server, lambda code: agree(server, code) if len(asked) == 2 else None)
    assert (done.code, len(asked)) == (0, 3)
    assert done.err.count("asking on") == 1


def test_a_device_to_which_nobody_agrees_in_time_keeps_nothing(
    desk: Desk, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "DEVICE_SECONDS", 0)
    done = by_device(desk, server, lambda _: None)
    assert (done.code, done.error["code"]) == (2, "expired-device")
    assert not desk.path(".config").exists()


def test_a_device_is_not_for_somebody_else(desk: Desk, server: Served) -> None:
    done = by_device(desk, server, lambda code: agree(server, code), "--user", "hugo")
    assert (done.code, done.error["code"]) == (2, "other-user")
    assert not desk.path(".config").exists()


@pytest.mark.parametrize(
    "more",
    [
        ("--user", "gina", "--client-id", "x"),
        ("--device", "--secret-file", "x"),
        ("--password-file", "x"),
        ("--device", "--password-file", "x"),
    ],
)
def test_a_person_and_a_program_do_not_sign_in_at_once(
    desk: Desk, server: Served, more: tuple[str, ...]
) -> None:
    done = desk.run(*words(server, *more))
    assert done.code == 2
    assert "--user" in done.error["message"] + done.error["cure"] or "--device" in done.error["cure"]


def test_a_password_that_nobody_can_be_asked_for_is_refused(desk: Desk, server: Served) -> None:
    done = desk.run(*words(server, "--user", "gina"))
    assert done.code == 2
    assert "--password-file" in done.error["cure"]
