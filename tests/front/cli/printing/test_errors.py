from __future__ import annotations

import json

import pytest

from bascule.front.cli.printing.errors import complain
from bascule.model.errors import (
    BasculeError,
    Cancelled,
    Damaged,
    Exists,
    Fenced,
    Missing,
    Refused,
    Unavailable,
)


def caused(error: BasculeError, cause: Exception) -> BasculeError:
    error.__cause__ = cause
    return error


def test_a_person_reads_what_happened_why_and_what_to_do(capsys) -> None:
    complain(caused(Unavailable("no room", cure="make some"), OSError(28, "No space left")), is_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "bascule: no room",
        "  why: No space left",
        "  what to do: make some",
    ]


def test_a_cause_that_the_message_names_is_not_named_twice(capsys) -> None:
    complain(caused(Refused("open x: permission denied"), OSError(13, "Permission denied")), is_json=False)
    assert capsys.readouterr().err == "bascule: open x: permission denied\n"


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (Refused("x"), "refused"),
        (Missing("x"), "refused"),
        (Exists("x"), "refused"),
        (Fenced("x"), "refused"),
        (Cancelled("x"), "cancelled"),
        (Unavailable("x", code="no-room"), "unavailable"),
        (Damaged("x"), "damaged"),
    ],
)
def test_a_program_reads_family_and_code(capsys, error: BasculeError, family: str) -> None:
    complain(error, is_json=True)
    said = json.loads(capsys.readouterr().err)["error"]
    assert (said["family"], said["code"], said["message"]) == (family, error.code, "x")
