"""The keyboard as a source of keys, on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

pytestmark = pytest.mark.lab

MIB = 1 << 20


def typed(desk, words: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command on a new terminal, type an answer to each question, and return all that it showed."""
    ours, theirs = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if not key.startswith("BASCULE_")}
    with subprocess.Popen(
        desk.command(words), env=settings, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := read(ours):
            shown += chunk
            if answers and shown.endswith(b": "):
                os.write(ours, answers.pop(0).encode() + b"\n")
        os.close(ours)
    return process.returncode, shown.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # the other side is closed


@pytest.fixture
def phrased(desk):
    code, shown = typed(desk, ["store", "init", desk.store], ["correct horse", "correct horse"])
    assert code == 0, shown
    assert "correct horse" not in shown
    return desk


def test_a_passphrase_is_asked_for_and_not_shown(phrased) -> None:
    code, shown = typed(phrased, ["store", "ls", phrased.store], ["correct horse"])
    assert code == 0, shown
    assert "correct horse" not in shown


def test_a_wrong_passphrase_opens_nothing(phrased) -> None:
    code, shown = typed(phrased, ["store", "ls", phrased.store], ["battery staple"])
    assert code == 2
    assert "does not open" in shown


def test_two_passphrases_that_differ_make_no_store(desk) -> None:
    code, shown = typed(desk, ["store", "init", desk.store], ["correct horse", "correct house"])
    assert code == 2
    assert "not the same" in shown
    assert not desk.path("store").exists()


def test_nobody_is_asked_for_a_passphrase_where_only_a_key_file_opens(stocked) -> None:
    code, shown = typed(stocked, ["store", "ls", stocked.store], [])
    assert code == 2
    assert "--key-file" in shown
