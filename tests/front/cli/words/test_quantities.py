from __future__ import annotations

import pytest

from bascule.front.cli.words.quantities import (
    bytes_from,
    bytes_text,
    moment_from,
    moment_iso,
    seconds_from,
    seconds_text,
)
from bascule.model.errors import Refused


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("1K", 1024),
        ("64M", 64 << 20),
        ("1.5GiB", 3 << 29),
        ("2 tb", 2 << 40),
        ("5M/s", 5 << 20),
    ],
)
def test_bytes_are_read_in_powers_of_1024(text: str, count: int) -> None:
    assert bytes_from(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 2", "1e9", "nan", "1.2.3"])
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        bytes_from(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1 << 20, "1.00 MiB"),
        (1000 << 20, "0.98 GiB"),
        (5 << 50, "5.00 PiB"),
    ],
)
def test_bytes_are_written_with_three_digits(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("12h", 43200), ("30d", 2592000), ("1W", 604800)]
)
def test_spans_are_read(text: str, seconds: int) -> None:
    assert seconds_from(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.418, "0.42 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_spans_are_written(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_moments_survive_being_written_and_read() -> None:
    assert moment_iso(0) == "1970-01-01T00:00:00.000Z"
    assert moment_from(moment_iso(1234567890.5)) == 1234567890.5


@pytest.mark.parametrize("text", ["tomorrow", "", "2030-13-01"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        moment_from(text)
