"""Signing in: whom to trust, who we are, what is kept. A server in this process, with its own certificate."""

from __future__ import annotations

import json
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.front.api import certificates
from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk
from tests.front.cli.remote.signed import fingerprint, settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("login")) as found:
        yield found


@contextmanager
def stranger(folder: Path) -> Iterator[str]:
    """Answer handshakes with a certificate of another authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.make(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_server_is_trusted_by_its_fingerprint_and_the_profile_is_for_its_owner_only(
    desk: Desk, server: Served
) -> None:
    done = desk.ok(
        "login", server.base, "--fingerprint", fingerprint(server), "--json", settings=settings(desk, server)
    )
    assert done.document["fingerprint"] == fingerprint(server)
    folder = desk.path(".config/bascule")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = desk.ok("vault", "ls", "--json").document["value"]
    assert "north" in {one["name"] for one in found}
    assert server.people["root"].secret not in desk.ok("profile", "ls", "--json").out


def test_another_fingerprint_is_refused_before_the_secret_is_said(desk: Desk, server: Served) -> None:
    done = desk.run(
        *("login", server.base, "--fingerprint", "00:11", "--json"), settings=settings(desk, server)
    )
    assert (done.code, done.error["code"]) == (2, "other-authority")
    assert fingerprint(server) in done.error["message"]
    assert not desk.path(".config").exists()


def test_nobody_is_trusted_where_nobody_can_compare(desk: Desk, server: Served) -> None:
    done = desk.run("login", server.base, "--json", settings=settings(desk, server))
    assert (done.code, done.error["code"]) == (2, "unknown-authority")
    assert "--fingerprint" in done.error["cure"]


def test_an_authority_that_changed_is_refused_with_cause_and_cure(
    desk: Desk, server: Served, tmp_path: Path
) -> None:
    desk.ok("login", server.base, "--fingerprint", fingerprint(server), settings=settings(desk, server))
    with stranger(tmp_path) as base:
        profiles = desk.path(".config/bascule/profiles.json")
        profiles.write_text(profiles.read_text().replace(server.base, base))
        for _ in range(2):  # with the token that there is, and without one
            done = desk.run("item", "ls", "--vault", "north", "--json")
            assert (done.code, done.error["code"]) == (2, "authority-changed")
            assert f"bascule login {base}" in done.error["cure"]
            desk.path(".config/bascule/default.token.json").unlink(missing_ok=True)


def test_a_wrong_secret_keeps_nothing(desk: Desk, server: Served) -> None:
    desk.path("secret").write_text("wrong\n")
    done = desk.run(
        *("login", server.base, "--fingerprint", fingerprint(server), "--secret-file", desk.path("secret")),
        "--json",
        settings=settings(desk, server),
    )
    assert (done.code, done.error["code"]) == (2, "not-let-in")
    assert not desk.path(".config").exists()


def test_a_token_that_is_not_taken_any_more_is_replaced(desk: Desk, server: Served) -> None:
    desk.ok("login", server.base, "--fingerprint", fingerprint(server), settings=settings(desk, server))
    token = desk.path(".config/bascule/default.token.json")
    said = json.loads(token.read_text())
    token.write_text(json.dumps(said | {"token": said["token"][:-4] + "AAAA"}))
    desk.ok("vault", "ls")
    assert json.loads(token.read_text())["token"][-4:] != "AAAA"


def test_a_profile_that_is_forgotten_leaves_nothing(desk: Desk, server: Served) -> None:
    for name in ("one", "two"):
        desk.ok(
            *("login", server.base, "--fingerprint", fingerprint(server), "--profile", name),
            settings=settings(desk, server),
        )
    desk.ok("logout", "--profile", "two")
    assert [one["name"] for one in desk.ok("profile", "ls", "--json").document["profiles"]] == ["one"]
    assert {path.name.split(".")[0] for path in desk.path(".config/bascule").iterdir()} == {"one", "profiles"}
    desk.ok("logout")
    done = desk.run("item", "ls", "--json")
    assert (done.code, done.error["code"]) == (2, "not-signed-in")


@pytest.mark.parametrize("url", ["http://a", "https://a/b", "https://u@a", "https://", "https://a:x"])
def test_what_is_no_address_is_refused(desk: Desk, url: str) -> None:
    done = desk.run("login", url, "--json")
    assert (done.code, done.error["cure"]) == (2, "write https://HOST:PORT")
