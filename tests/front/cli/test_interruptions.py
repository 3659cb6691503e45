"""A store that goes away in the middle: what a person is told, and that nothing is lost."""

from __future__ import annotations

import os

import pytest

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.model.errors import Unavailable
from bascule.ports.objects import ObjectStore

MIB = 1 << 20


class LeavingStore:
    """A store that goes away after so many segments were written, or so many reads."""

    def __init__(self, inner: ObjectStore, segments: int, reads: int) -> None:
        self._inner = inner
        self._left = {"segment": segments, "read": reads}
        self.stat, self.list = inner.stat, inner.list
        self.delete, self.close = inner.delete, inner.close

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        if name.startswith("segments/"):
            self._count("segment")
        self._inner.create(name, data)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        self._count("read")
        return self._inner.read(name, offset, buffer)

    def _count(self, what: str) -> None:
        self._left[what] -= 1
        if self._left[what] < 0:
            raise Unavailable("the store has no room", cure="make some")


class LeavingTools(SystemTools):
    """The real tools, but for a store that goes away."""

    def __init__(self, settings: dict[str, str], segments: int = 10**9, reads: int = 10**9) -> None:
        super().__init__(settings)
        self._limits = (segments, reads)

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> ObjectStore:
        inner = super().open_store(place, create=create, direct_reads=direct_reads)
        return LeavingStore(inner, *self._limits)


@pytest.fixture
def image(stocked) -> bytes:
    path = stocked.image("big.raw", (0, os.urandom(40 * MIB)), size=40 * MIB)
    return path.read_bytes()


@pytest.mark.slow
def test_a_copy_whose_store_goes_away_leaves_no_point_and_says_how_to_go_on(
    stocked, image: bytes, capsys
) -> None:
    tools = LeavingTools(stocked.settings, segments=1)
    code = run(["copy", str(stocked.path("big.raw")), stocked.store, "--workers", "1"], tools)
    said = capsys.readouterr().err
    assert code == 3
    assert "what to do: make some; then start it again: it goes on where it was" in said
    assert stocked.run("store", "ls", stocked.store, "big", "--json").document["points"] == []
    copied = stocked.ok("copy", stocked.path("big.raw"), stocked.store, "--json").events[-1]
    assert copied["resumed_bytes"] >= 15 * MIB
    stocked.ok("restore", stocked.store, "big", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == image


@pytest.mark.slow
def test_a_restore_whose_store_goes_away_goes_on_where_it_was(stocked, image: bytes, capsys) -> None:
    stocked.ok("copy", stocked.path("big.raw"), stocked.store)
    back = str(stocked.path("back.raw"))
    for reads in range(12, 40, 2):
        code = run(["restore", stocked.store, "big", back], LeavingTools(stocked.settings, reads=reads))
        if code == 0:
            break
        assert code == 3
        assert "goes on where it was" in capsys.readouterr().err
    assert code == 0 or stocked.ok("restore", stocked.store, "big", back)
    assert stocked.path("back.raw").read_bytes() == image
    assert not stocked.path("back.raw.restoring").exists()
