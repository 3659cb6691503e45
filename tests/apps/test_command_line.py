from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.command_line import BUG, Stopped, run
from bascule.model.errors import Cancelled, Damaged, Fenced, Refused, Unavailable


class Broken:
    """Tools whose store fails in one way."""

    clock, ids, who = SystemClock(), SystemIds(), "test"

    def __init__(self, error: BaseException, settings: Mapping[str, str]) -> None:
        self._error = error
        self.settings = settings

    def open_store(self, *_: object, **__: object):
        raise self._error

    open_source = open_sink = open_store


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 2),
        (Fenced("no"), 2),
        (Unavailable("later"), 3),
        (Damaged("torn"), 4),
        (Cancelled("stopped"), 130),
        (Stopped(), 130),
        (ZeroDivisionError("oh"), BUG),
    ],
)
def test_the_exit_code_tells_the_family(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["store", "ls", "st", "--json"], Broken(error, {})) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert set(json.loads(said.err)["error"]) == {"family", "code", "message", "why", "cure"}


def test_an_error_that_nobody_foresaw_names_its_place_and_shows_no_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["store", "ls", "st"], Broken(ZeroDivisionError("oh"), {})) == BUG
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh in Broken.open_store" in said
    assert "BASCULE_LOG=debug" in said
    assert "Traceback" not in said


def test_who_asks_for_it_gets_the_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        run(["store", "ls", "st"], Broken(ZeroDivisionError("oh"), {"BASCULE_LOG": "debug"}))
