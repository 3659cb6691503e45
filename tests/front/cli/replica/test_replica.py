"""``bascule replica`` on hosts in memory: what it says, refuses and shows."""

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
from tests.recovery.worlds import GROUP, MACHINES, World


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


def test_a_commit_removes_the_other_points_and_says_so(side: Side) -> None:
    """R-FO-3."""
    side("fail-over")
    newest = side.world.numbers()[-1]
    said = side("commit")
    assert "removed the other points of shop: 2" in said.err
    assert f"--group {GROUP}~2 --take-over" in said.out
    assert side.world.numbers() == [newest]
    assert "committed: no cancel now" in side("cancel", code=2).err


def test_a_commit_may_leave_the_other_points(side: Side) -> None:
    side("fail-over")
    side("commit", "--keep-points")
    assert len(side.world.numbers()) == 3


def test_the_other_points_are_there_until_the_commit(side: Side) -> None:
    """R-FO-5, R-RP-4."""
    first, *_ = side.world.numbers()
    side("fail-over")
    side("change-point", f"{GROUP}/{first}")
    assert side.world.running() == side.world.at(first)
    side("cancel")
    assert len(side.world.numbers()) == 3


def test_status_shows_which_tests_count(side: Side) -> None:
    """R-FO-1."""
    side("test")
    assert side("status", "--json").document["tests"] == []
    side("clean-up", "--notes", "answers on port 443")
    assert "There is no test" in side("clean-up").out
    (test,) = side("status", "--json").document["tests"]
    newest = side.world.numbers()[-1]
    assert (test["point"], test["notes"]) == (f"{GROUP}/{newest}", "answers on port 443")
    assert side("status").out.splitlines()[-1].endswith("answers on port 443")


def test_machines_that_were_taken_over_are_told_which_group_they_belong_to(side: Side) -> None:
    side("fail-over", "--name", "db=db-2")
    for name in ("db-2", "web"):
        assert f'"group": "{GROUP}~2"' in side.world.host.marked(name)
        assert '"store": "mem://"' in side.world.host.marked(name)
    side("test")
    assert all(side.world.host.marked(f"{name}-test") == "" for name in MACHINES), "copies are no members"


def test_a_full_download_waits_for_the_other_side_and_says_how(side: Side) -> None:
    """R-HV-2."""
    side("fail-over")
    refused = side("fail-back", "--full", code=2)
    assert "still run on the other side" in refused.err
    assert "bascule replica hand-over" in refused.err
