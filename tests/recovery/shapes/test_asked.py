"""What is asked of recovered machines: laid over each other, and written down."""

from __future__ import annotations

import json

from bascule.recovery.shapes.asked import EVERY, Asked, Card, Wanted, asked_in, fields_of

BEFORE = Asked(
    {
        "db": Wanted("db-2", 4, 0, {"net0": Card("dmz", "new"), "net1": Card("lan")}, "new"),
        EVERY: Wanted(memory_mib=512),
    },
    {"lan": "dmz"},
    "all",
)


def test_what_is_asked_later_goes_on_top_thing_by_thing() -> None:
    later = Asked(
        {"db": Wanted(cpus=8, cards={"net0": Card(network="")}), "web": Wanted("web-2")}, {"wan": ""}
    )
    both = later.over(BEFORE)
    assert both.of("db") == Wanted("db-2", 8, 0, {"net0": Card("", "new"), "net1": Card("lan")}, "new")
    assert both.of("web") == Wanted("web-2")
    assert both.of(EVERY) == Wanted(memory_mib=512)
    assert (both.networks, both.network) == ({"lan": "dmz", "wan": ""}, "all")


def test_nothing_on_top_changes_nothing() -> None:
    assert Asked().over(BEFORE) == BEFORE.over(Asked()) == BEFORE


def test_it_is_read_as_it_was_written() -> None:
    assert asked_in(json.loads(json.dumps(fields_of(BEFORE)))) == BEFORE


def test_what_was_kept_before_machines_had_numbers_is_read_too() -> None:
    fields = fields_of(Asked({"db": Wanted("db-2")}))
    del fields["machines"]["db"]["uuid"]
    assert asked_in(fields) == Asked({"db": Wanted("db-2")})


def test_sizes_are_processors_and_memory_alone() -> None:
    assert BEFORE.sizes == Asked({"db": Wanted(cpus=4), EVERY: Wanted(memory_mib=512)})
