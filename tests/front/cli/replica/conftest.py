"""The sides of a world in memory, and commands typed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.data.store import KeyFile, Vault
from bascule.drivers.hypervisors.fake.host import FakeHypervisor
from bascule.drivers.objects.memory import MemoryStore
from bascule.ports.hypervisors import Hypervisor
from bascule.ports.images import Images
from bascule.ports.serving import Serving
from tests.front.cli.conftest import Done
from tests.recovery.journeys import Journey
from tests.recovery.worlds import GROUP, FakeImages, World


class Tools(SystemTools):
    """The tools of one side of a world in memory."""

    def __init__(self, world: World, replicas: str, host: FakeHypervisor, images: FakeImages) -> None:
        super().__init__({"BASCULE_HOST": "there", "BASCULE_REPLICAS": str(world.root / replicas)})
        self.world = world
        self.clock = world.clock
        self._host = host
        self._images = images

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> MemoryStore:
        return self.world.objects

    def open_hypervisor(self, words: str) -> Hypervisor:
        assert words == "there"
        return self._host

    def point_servers(self, store: Sequence[str], open_vault: Callable[[], Vault]) -> Serving:
        return self.world.serving

    def images(self) -> Images:
        return self._images


class Side:
    """Commands typed on one side."""

    def __init__(self, tools: Tools, key: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.world = tools.world
        self.key = key
        self._tools = tools
        self._capture = capture

    def __call__(self, verb: str, *words: str, code: int = 0) -> Done:
        options = words if words and not words[0].startswith("-") else (GROUP, *words)
        if verb == "status":
            options = words
        return self.typed(verb, *options, "--key-file", str(self.key), code=code)

    def typed(self, verb: str, *words: str, code: int = 0) -> Done:
        """Type a command without a key."""
        self._capture.readouterr()
        assert run(["replica", verb, "mem://", *words], self._tools) == code
        return Done(code, *self._capture.readouterr())


def key_of(world: World) -> Path:
    """Make a key file that opens the store of a world."""
    key = world.root / "key"
    KeyFile.create(key, world.site().ids)
    world.vault.add_key(KeyFile(bytes(32)), KeyFile.read(key))
    return key


@pytest.fixture
def side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Side:
    """The recovery side, before anything happened."""
    world = World(tmp_path)
    return Side(Tools(world, "r", world.host, world.images), key_of(world), capsys)


@dataclass(frozen=True)
class Sides:
    """Both sides of a journey: machines were taken over from ``home`` and run ``away``."""

    journey: Journey
    home: Side
    away: Side


@pytest.fixture
def sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Sides]:
    """Return what makes both sides, with the failover committed or not."""

    def made(*, stays: bool = True) -> Sides:
        journey = Journey(tmp_path, stays=stays)
        key = key_of(journey)
        home = Tools(journey, "home", journey.home, journey.home_images)
        away = Tools(journey, "records", journey.host, journey.images)
        return Sides(journey, Side(home, key, capsys), Side(away, key, capsys))

    return made
