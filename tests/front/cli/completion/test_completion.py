"""Words that a shell asks for, with a server in this process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bascule.front.cli.completion import names
from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk
from tests.front.cli.remote.signed import owners


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("complete")) as found:
        yield found


@pytest.fixture
def signed_in(desk: Desk, server: Served) -> Desk:
    owners(desk, server)
    desk.ok("vault", "use", "north")
    return desk


def completed(desk: Desk, *words: str) -> list[str]:
    return desk.ok("complete", "--", *words).out.split()


def test_words_and_options_come_from_the_commands_themselves(desk: Desk) -> None:
    assert completed(desk, "ite") == ["item"]
    assert completed(desk, "item", "fail") == ["fail-over", "fail-back"]
    assert completed(desk, "item", "fail-over", "--pl") == ["--planned"]
    assert completed(desk, "nonsense", "x") == []
    assert completed(desk, "machine", "nonsense", "x") == []


@pytest.mark.slow
def test_names_come_from_the_server(signed_in: Desk) -> None:
    sites = completed(signed_in, "site", "remove", "")
    assert sites
    assert completed(signed_in, "site", "remove", sites[0][:3]) == [
        one for one in sites if one[:3] == sites[0][:3]
    ]
    assert "north" in completed(signed_in, "site", "ls", "--vault", "")
    assert completed(signed_in, "site", "ls", "--profile", "d") == ["default"]
    assert completed(signed_in, "site", "remove", "x", "") == [], "there is no second place"
    assert completed(signed_in, "item", "protect", "web", "--from", "")
    assert completed(signed_in, "door", "revoke", "") == [], "no host of a server is meant there"


def test_a_server_that_does_not_answer_is_waited_for_a_moment_only(
    signed_in: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_SECONDS", 0.3)
    stalled = threading.Event()
    monkeypatch.setattr(names, "page_of", lambda *_: stalled.wait(60) and [])
    begun = time.monotonic()
    assert completed(signed_in, "item", "show", "") == []
    assert time.monotonic() - begun < 10
    stalled.set()


def test_who_is_signed_in_nowhere_is_told_nothing_in_the_middle_of_a_line(desk: Desk) -> None:
    done = desk.run("complete", "--", "item", "show", "")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_bash_asks_as_its_script_says(desk: Desk) -> None:
    folder = Path(sys.executable).parent
    script = desk.ok("completion", "bash").out
    typed = 'COMP_WORDS=(bascule item fail); COMP_CWORD=2; _bascule; printf "%s " "${COMPREPLY[@]}"'
    environment = {"PATH": f"{folder}:/usr/bin:/bin"} | desk.settings
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{typed}"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "fail-over fail-back "
    for shell in ("zsh", "fish"):
        assert "bascule complete -- " in desk.ok("completion", shell).out
