from __future__ import annotations

import json

import pytest

from benchmarks.report import OURS, Figure, Report

TIME = Figure("full", "s")


def filled(figure: Figure, ours: list[float], theirs: list[float], who: str = "restic") -> dict[str, object]:
    report = Report(figure)
    for value in ours:
        report.add(OURS, value)
    for value in theirs:
        report.add(who, value)
    (line,) = report.lines()
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_a_shorter_time_is_better() -> None:
    line = filled(TIME, [2, 2, 9], [12, 12, 1])

    assert (line["value"], line["against_value"], line["ratio"]) == (2, 12, 6)
    assert line["rounds"] == 3


def test_a_higher_rate_is_better() -> None:
    line = filled(Figure("upload", "MiB/s", more_is_better=True), [190], [200], "raw-put")

    assert line["ratio"] == 0.95


@pytest.mark.parametrize(("theirs", "met"), [(12.0, True), (11.9, False)])
def test_a_line_says_whether_the_bar_is_met(theirs: float, met: bool) -> None:
    line = filled(TIME, [2], [theirs])

    assert (line["bar"], line["met"]) == (6, met)


def test_without_a_peer_the_figure_stands_against_nothing() -> None:
    report = Report(TIME)
    report.add(OURS, 2, cpu_s=3)

    (line,) = map(json.loads, report.lines())

    assert (line["against"], line["ratio"], line["cpu_s"]) == ("-", None, 3)


def test_without_us_the_peers_are_told_alone() -> None:
    report = Report(TIME)
    report.add("restic", 14)

    (line,) = map(json.loads, report.lines())

    assert (line["against"], line["value"], line["against_value"]) == ("restic", None, 14)
