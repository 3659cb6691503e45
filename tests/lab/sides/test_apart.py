"""Two hosts that share a store, a network and nothing else: no file of one is seen by the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.model.machines import written
from lab import machines
from lab.filesystems import tool
from lab.machines import Keeping
from lab.sites import Apart, Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Stage
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

AWAY = f"{MACHINE}~2"


def prepare(stage: Stage) -> None:
    """Have a machine replicated at the first host, and carry the key to the second one."""
    first = stage.first
    made = machines.make(Keeping(MACHINE, disk_mib=8), first.folder / "images")
    seen = [replace(disk, words=str(stage.path("images") / Path(disk.words).name)) for disk in made.disks]
    (first.folder / "shop.json").write_text(written(replace(made, disks=tuple(seen))))
    first.run("machine", "define", MACHINE, "--file", "shop.json")
    first.run("machine", "start", MACHINE)
    first.run("key", "create", "main.key")
    for place in (stage.folder, stage.second.folder):
        shutil.copy(first.folder / "main.key", place)
    first.run("store", "init", "store")
    first.run("protect", f"first#{MACHINE}", "store", "--group", MACHINE, "--every", "1s")
    first.wait_until_up(MACHINE)
    first.begin("provider", "run", "first-provider")
    wait_until(lambda: stage.points(MACHINE) > 2, PATIENCE_SECONDS, "points")


def listed(folder: Path, within: Sequence[str] = ()) -> list[str]:
    return tool(*within, "ls", folder).split()


def test_a_machine_goes_over_and_comes_home_between_hosts_that_share_only_the_store() -> None:
    # Not where the hosts have a folder of their own.
    with tempfile.TemporaryDirectory(prefix="apart-", dir="/var/tmp") as folder, Sites() as sites:
        stage = Stage(Path(folder), sites, apart=True)
        first, second = stage.first, stage.second
        prepare(stage)
        seen = Apart(sites.recovery.hosts["second"], stage.folder, second.folder, stage.path("store"))
        assert "shop.json" in listed(first.folder)
        assert not {"first", "shop.json", "images"} & {*listed(stage.folder, seen.entering())}
        sites.primary.cut_power()
        second.run("replica", "fail-over", "store", MACHINE)
        record = second.wait_until_up(MACHINE)
        assert record >= stage.judge_newest(MACHINE)[1].last
        second.run("replica", "commit", "store", MACHINE)
        second.run("protect", f"second#{MACHINE}", "store", "--group", AWAY, "--every", "1s", "--take-over")
        second.begin("provider", "run", "second-provider")
        wait_until(lambda: stage.points(AWAY) > 1, PATIENCE_SECONDS, "points of the second host")
        first.run("replica", "fail-back", "store", MACHINE)
        second.run("replica", "hand-over", "store", MACHINE)
        first.run("replica", "fail-back", "store", MACHINE)
        assert first.wait_until_up(MACHINE) == second.closed_at()
        first.run("replica", "commit", "store", MACHINE)
        second.run("replica", "release", "store", MACHINE)
