from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.tools import SystemTools
from bascule.model.errors import Exists


def test_a_place_a_source_and_a_sink_are_found_by_their_names(tmp_path: Path) -> None:
    tools = SystemTools({})
    store = tools.open_store(str(tmp_path / "store"), create=True)
    store.create("name", b"data")
    assert store.stat("name").size == 4
    store.close()
    sink = tools.open_sink(str(tmp_path / "disk.raw"), 4096)
    sink.write(0, memoryview(b"x" * 4096))
    sink.close()
    with pytest.raises(Exists):
        tools.open_sink(str(tmp_path / "disk.raw"), 4096)
    source = tools.open_source(str(tmp_path / "disk.raw"))
    assert source.size_bytes == 4096
    source.close()


def test_a_writer_can_be_told_from_another(tmp_path: Path) -> None:
    assert "@" in SystemTools({}).who


def test_time_goes_on_and_chance_does_not_repeat() -> None:
    clock, ids = SystemClock(), SystemIds()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now() > 1.7e9
    assert len({ids.random(16) for _ in range(100)}) == 100
