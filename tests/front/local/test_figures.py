"""Figures are written as Prometheus reads them."""

from __future__ import annotations

from bascule.front.local.figures import Figure, figure, written


def test_labels_are_quoted_so_that_no_name_ends_a_line() -> None:
    made = Figure("calls_total", "Calls.", (((("what", 'a"b\\c\nd'),), 3.0),), "counter")
    assert written([made]) == (
        '# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{what="a\\"b\\\\c\\nd"} 3.0\n'
    )


def test_a_figure_of_one_value_has_no_labels() -> None:
    assert written([figure("vaults", "Vaults.", 2)]).splitlines()[-1] == "vaults 2"
