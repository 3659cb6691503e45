from __future__ import annotations

import pytest

from bascule.model.items import Wish, name_of


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("/run/vm/web.qmp", "web"),
        ("/srv/host#web", "web"),
        ("/srv/host#web.example", "web.example"),
        ("libvirt:///system#web", "web"),
        ("libvirt+unix:///system?socket=/run/a%20b#web", "web"),
        ("fake:web?disks=2&mib=8", "web"),
    ],
)
def test_a_machine_is_called_as_its_words_end(words: str, name: str) -> None:
    assert name_of(words) == name


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ({}, ["a", "b"]),
        ({"exclude": ("a",)}, ["b"]),
        ({"include": ("a",)}, ["a"]),
        ({"include": ("web/a", "b"), "exclude": ("b",)}, ["a"]),
        ({"include": ("other/a",)}, []),
    ],
)
def test_disks_are_replicated_that_are_named_or_else_all_and_none_that_is_left_out(
    lists: dict[str, tuple[str, ...]], wanted: list[str]
) -> None:
    """R-P-7."""
    wish = Wish("web", ("web",), "/store", **lists)
    assert [disk for disk in ("a", "b") if wish.wants("web", disk)] == wanted
