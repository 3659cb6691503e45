"""The recovery side of a world in memory, and commands typed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.data.store import KeyFile, Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.ports.hypervisors import Hypervisor
from bascule.ports.images import Images
from bascule.ports.serving import Serving
from tests.front.cli.conftest import Done
from tests.recovery.worlds import GROUP, World


class Tools(SystemTools):
    """The tools of the recovery side of a world in memory."""

    def __init__(self, world: World, key: Path) -> None:
        super().__init__(
            {"BASCULE_HOST": "there", "BASCULE_KEY_FILE": str(key), "BASCULE_REPLICAS": str(world.root / "r")}
        )
        self.world = world
        self.clock = world.clock

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> MemoryStore:
        return self.world.objects

    def open_hypervisor(self, words: str) -> Hypervisor:
        assert words == "there"
        return self.world.host

    def point_servers(self, store: Sequence[str], open_vault: Callable[[], Vault]) -> Serving:
        return self.world.serving

    def images(self) -> Images:
        return self.world.images


class Side:
    """Commands typed on the recovery side."""

    def __init__(self, world: World, key: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.world = world
        self._tools = Tools(world, key)
        self._capture = capture

    def __call__(self, verb: str, *words: str, code: int = 0) -> Done:
        self._capture.readouterr()
        options = words if words and not words[0].startswith("-") else (GROUP, *words)
        if verb == "status":
            options = words
        assert run(["replica", verb, "mem://", *options], self._tools) == code
        return Done(code, *self._capture.readouterr())


@pytest.fixture
def side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Side:
    world = World(tmp_path)
    key = tmp_path / "key"
    KeyFile.create(key, world.site().ids)
    world.vault.add_key(KeyFile(bytes(32)), KeyFile.read(key))
    return Side(world, key, capsys)
