"""Who is told by mail is said and shown at the command line. A server in this process."""

from __future__ import annotations

import pytest

from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk
from tests.front.cli.remote.signed import owners


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("alerts")) as found:
        yield found


@pytest.fixture
def owner(desk: Desk, server: Served) -> Desk:
    """A desk at which the owner of the server signed in."""
    return owners(desk, server)


@pytest.mark.slow
def test_who_is_told_is_said_anew_each_time(owner: Desk) -> None:
    north = ("--vault", "north")
    owner.ok("alert", "set", "--mail", "ops@example.com", "--mail", "duty@example.com", *north)
    assert "  ops@example.com\n  duty@example.com\n" in owner.ok("alert", "show", *north).out
    owner.ok("alert", "set", "--mail", "night@example.com", *north)
    shown = owner.ok("alert", "show", "--json", *north).document
    assert shown["properties"]["customEmailAddresses"] == ["night@example.com"]
    assert "Nobody" in owner.ok("alert", "set", "--nobody", *north).out


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        ((), "--mail"),
        (("--nobody", "--mail", "ops@example.com"), "--nobody"),
        (("--mail", "nobody at all"), "NAME@HOST"),
    ],
)
def test_what_names_nobody_is_refused_with_a_cure(owner: Desk, more: tuple[str, ...], cure: str) -> None:
    done = owner.run("alert", "set", *more, "--vault", "north", "--json")
    assert (done.code, cure in done.error["cure"]) == (2, True)
