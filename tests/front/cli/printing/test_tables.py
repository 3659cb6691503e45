from bascule.front.cli.printing.tables import pairs, table


def test_columns_line_up_and_figures_stand_to_the_right() -> None:
    assert list(table(("NAME", "SIZE>"), [("a", "1"), ("longer", "100")])) == [
        "NAME    SIZE",
        "a          1",
        "longer   100",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert list(table(("A", "B"), [])) == ["A  B"]


def test_values_stand_below_each_other() -> None:
    assert list(pairs([("a", "1"), ("long", "")])) == ["a     1", "long"]
