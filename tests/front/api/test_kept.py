"""What is kept is bounded, found by all that it was made of, and made once."""

from __future__ import annotations

from bascule.front.api.kept import Kept


def test_what_was_made_is_not_made_again() -> None:
    kept, made = Kept(1 << 20, len), []

    def make() -> bytes:
        made.append(1)
        return b"page"

    assert kept.made(("stamp", "a"), make) == kept.made(("stamp", "a"), make) == b"page"
    assert kept.made(("another", "a"), lambda: b"other") == b"other"
    assert len(made) == 1


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    kept = Kept(3 * (1000 + 2048) + 100, len)
    for name in "abc":
        kept.made((name,), lambda: bytes(1000))
    kept.made(("a",), lambda: b"new")
    kept.made(("d",), lambda: bytes(1000))
    found = {name: kept.made((name,), lambda: b"new") != b"new" for name in "adcb"}
    assert found == {"a": True, "d": True, "c": True, "b": False}


def test_however_long_what_is_asked_is_no_more_is_held_than_may_be() -> None:
    kept = Kept(1 << 20, len)
    for number in range(100):
        kept.made((number, "x" * 60_000), lambda: b"")
        assert kept.held_bytes <= 1 << 20
    assert kept.made(("huge",), lambda: bytes(2 << 20)) == bytes(2 << 20)
    assert kept.held_bytes == 0


def test_what_cannot_be_made_is_not_kept() -> None:
    kept = Kept(1 << 20, len)
    try:
        kept.made(("a",), lambda: bytes(1 // 0))
    except ZeroDivisionError:
        assert kept.made(("a",), lambda: b"now") == b"now"
