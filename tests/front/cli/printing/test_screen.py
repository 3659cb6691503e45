from __future__ import annotations

import json

from bascule.data.pipeline.flow.progress import Progress
from bascule.front.cli.printing.bars import bar
from bascule.front.cli.printing.screen import Screen

LOOK = Progress(
    done_bytes=1 << 20,
    total_bytes=4 << 20,
    stored_bytes=10,
    elapsed_seconds=1,
    rate_bytes=1 << 20,
    seconds_left=3.0,
)


def test_progress_is_one_line_of_json_each(capsys) -> None:
    with Screen(is_json=True).progress("copy") as observer:
        observer(LOOK)
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert event["event"] == "progress"
    assert (event["doing"], event["done_bytes"], event["total_bytes"]) == ("copy", 1 << 20, 4 << 20)
    assert event["seconds_left"] == 3.0


def test_without_a_terminal_nothing_is_said_on_the_way(capsys) -> None:
    with Screen(is_json=False).progress("copy") as observer:
        observer(LOOK)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_bar_tells_bytes_rate_and_time_left(capsys) -> None:
    with bar("copy") as observer:
        observer(LOOK)
    said = capsys.readouterr().err
    for words in ("copy", "25 %", "1.00 MiB of 4.00 MiB", "1.00 MiB/s", "3.00 s left"):
        assert words in said


def test_notes_do_not_disturb_programs(capsys) -> None:
    Screen(is_json=True).note("by the way")
    Screen(is_json=False).note("by the way")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "by the way\n")
