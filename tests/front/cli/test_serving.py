from __future__ import annotations

from pathlib import Path

import pytest

from bascule.front.cli import app
from bascule.front.cli.serving import Order, understand


def test_plain_words_are_understood() -> None:
    words = [
        "st",
        "--socket",
        "/run/s",
        "web/3",
        "--writable",
        "--folder",
        "kept",
        "--machine",
        "m",
        "--json",
    ]
    assert understand(words) == Order(
        "st", "web/3", machine="m", socket=Path("/run/s"), folder=Path("kept"), writable=True, json=True
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["st"],
        ["st", "web", "more"],
        ["--help"],
        ["st", "web", "--help"],
        ["st", "web", "--socket"],
        ["st", "web", "--socket=/run/s"],
        ["st", "web", "-h"],
        ["st", "web", "--machine", ""],
    ],
)
def test_all_other_words_go_the_usual_way(words: list[str]) -> None:
    assert understand(words) is None


def test_the_quick_way_and_the_usual_way_know_the_same_options() -> None:
    command = app.command("serve-point")
    usual = {word for option in command.params for word in option.opts if word.startswith("--")}
    quick = {"--" + name.replace("_", "-") for name in Order._fields[2:]}
    assert usual - {"--help"} == quick
    flags = {word for option in command.params if getattr(option, "is_flag", False) for word in option.opts}
    assert flags - {"--help"} == {
        "--" + n.replace("_", "-") for n, d in Order._field_defaults.items() if d is False
    }
