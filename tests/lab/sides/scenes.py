"""The scenes of a group's life on two hosts, to each of which one can come back.

A scene is the folder of both hosts and the store with all power off, so it can be copied and put back; what
is to run in it is woken by commands, as after a power cut. Hosts and store stand on drives, which can lose
their power too and then have what was flushed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bascule.model.machines import Power, written
from lab import machines
from lab.filesystems import tool
from lab.machines import Keeping
from lab.sites import Host, Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Stage, Stand
from lab.waiting import wait_until
from tests.lab.cuts.drives import Drive
from tests.lab.sides.bucket import BUCKET, Bucket

COMMANDS = {
    verb: ("replica", verb, "store", MACHINE)
    for verb in ("fail-over", "fail-back", "hand-over", "commit", "cancel", "test", "clean-up", "release")
}
POINTS = 3
KEPT = "kept"
DRIVE_BYTES = 1 << 30
COPY = f"{MACHINE}-test"
SECOND = f"{MACHINE}~2"
# A machine whose power was cut is compared, whatever the time of day.
AT_ONCE = ("--every", "1s", "--resync-hours", "any")
PROTECT = ("protect", f"first#{MACHINE}", "store", "--group", MACHINE, *AT_ONCE)
REVERSE = ("protect", f"second#{MACHINE}", "store", "--group", SECOND, *AT_ONCE, "--take-over")
_LOAD = Keeping(MACHINE, records_a_second=20, writes_a_record=4, slots=256, disk_mib=8)


class World:
    """Two hosts and a store, in any scene; the store is a folder on a drive, or behind a network."""

    def __init__(self, folder: Path, sites: Sites, bucket: Bucket | None = None) -> None:
        self._kept = folder / KEPT
        self._kept.mkdir(exist_ok=True)
        self.hosts = Drive.new(folder / "hosts.ext4", folder / "s", DRIVE_BYTES)
        self.store = Drive.new(folder / "store.ext4", folder / "t", DRIVE_BYTES)
        self.stage = Stage(folder / "s", sites)
        self.first, self.second = self.stage.first, self.stage.second
        self.is_patient = True
        self.is_torn = False
        """Do the hosts' disks lack writes that nobody flushed, so that they are of no one instant?"""
        self.bucket = bucket
        for side in (self.first, self.second) if bucket else ():
            bucket.reached_by(side, self.computer(side).namespace)
        if bucket:
            self.stage.objects = bucket.objects
        self.providers: list[subprocess.Popen[str]] = []

    # Scenes

    def scene(self, name: str) -> None:
        """Be in a scene, made from the one before if it never was."""
        self.is_torn = False
        kept = self._kept / name
        if not kept.exists():
            before, make = SCENES[name]
            if before:
                self.scene(before)
            else:
                self.begin()
            make(self)
            self.power_off()
            half = self._kept / "half"
            half.mkdir()
            for drive in (self.hosts, self.store):
                copied(drive.mount, half / drive.mount.name)
            if self.bucket:
                self.bucket.save(half / BUCKET)
            half.rename(kept)
            return
        self.power_off()
        for drive in (self.hosts, self.store):
            emptied(drive.mount)
            copied(kept / drive.mount.name, drive.mount)
            drive.flush()
        if self.bucket:
            self.bucket.come_back()
            self.bucket.restore(kept / BUCKET)

    def begin(self) -> None:
        """Have two hosts on which nothing is, and a store that was not made yet."""
        (self.store.mount / "store").mkdir()
        self.stage.path("store").symlink_to(self.store.mount / "store")

    def close(self) -> None:
        """Take the drives away, after all power is off."""
        for drive in (self.hosts, self.store):
            drive.leave()

    def power_off(self) -> None:
        """Let everything end that runs on either host."""
        for side in (self.first, self.second):
            self.computer(side).cut_power()

    def computer(self, side: Stand) -> Host:
        """Return what a side's processes run on."""
        site = self.stage.sites.primary if side is self.first else self.stage.sites.recovery
        return site.hosts[side.name]

    def defined(self) -> None:
        images = self.stage.path("images")
        self.stage.path("shop.json").write_text(written(machines.make(_LOAD, images)))
        self.first.run("machine", "define", MACHINE, "--file", "shop.json")
        self.first.run("key", "create", "main.key")
        self.first.run("store", "init", "store")

    def protected(self) -> None:
        self.works(self.first)
        self.first.run(*PROTECT)
        self.replicated(self.first, MACHINE)

    def handed_over(self) -> None:
        self.works(self.first)
        self.first.begin("provider", "run", "first-provider")
        self.first.run(*COMMANDS["hand-over"])

    def over(self) -> None:
        self.second.run(*COMMANDS["fail-over"])
        self.second.wait_until_up(MACHINE)

    def reversed(self) -> None:
        self.runs_over_there()
        self.second.run(*COMMANDS["commit"])
        self.second.run(*REVERSE)
        self.replicated(self.second, SECOND)

    def level(self) -> None:
        self.runs_over_there()
        self.first.run(*COMMANDS["fail-back"])

    def handed_back(self) -> None:
        self.runs_over_there()
        self.second.run(*COMMANDS["hand-over"])

    def home(self) -> None:
        self.first.run(*COMMANDS["fail-back"])

    # What is woken in a scene

    def works(self, side: Stand) -> None:
        """Start the machine where it is at home."""
        side.run("machine", "start", MACHINE, quietly=True)
        self.writes(side)

    def runs_at_home(self) -> None:
        self.works(self.first)

    def runs_over_there(self) -> None:
        self.started_over_there()
        self.writes(self.second)

    def started_at_home(self) -> None:
        self.first.run("machine", "start", MACHINE, quietly=True)

    def started_over_there(self) -> None:
        self.second.run("replica", "start", "store", MACHINE, quietly=True)

    def committed_over_there(self) -> None:
        self.started_over_there()
        self.second.run(*COMMANDS["commit"])

    def tested(self) -> None:
        self.second.run(*COMMANDS["test"])

    def home_for_good(self) -> None:
        self.started_at_home()
        self.first.run(*COMMANDS["commit"])

    def nothing(self) -> None:
        """Wake nobody."""

    # What must hold

    def one_runs_or_none(self) -> None:
        """Never two that we started."""
        running = [side.name for side in (self.first, self.second) if side.power() is Power.RUNNING]
        assert len(running) <= 1

    def holds(self, side: Stand, promised: int) -> None:
        """See that the machine runs on this side with all that was promised.

        Patience lets it boot and judge its ledger itself; else its power is cut and its disks are judged.
        """
        if self.is_patient:
            goes_on_from(self.writes(side), promised)
        else:
            assert side.power() is Power.RUNNING
            side.judge(promised)

    def replicated(self, side: Stand, log: str) -> None:
        """See that a provider makes points of a group."""
        enough = self.stage.points(log) + POINTS
        provider = side.begin("provider", "run", f"{side.name}-provider")
        wait_until(lambda: self.stage.points(log) >= enough, PATIENCE_SECONDS, f"points of {log}")
        provider.terminate()
        provider.wait(PATIENCE_SECONDS)

    def writes(self, side: Stand, machine: str = MACHINE) -> int:
        """See that a machine's ledger is sound and goes on; return the record it went on from."""
        record = side.wait_until_up(machine)
        begun = acknowledged(side, machine)
        wait_until(lambda: acknowledged(side, machine) > begun, PATIENCE_SECONDS, f"{machine} to write")
        return record

    def promised(self) -> int:
        """Return the last record of the newest point, 0 if there is none."""
        log = max((log for log in self.stage.vault_groups() if "orphan" not in log), key=len, default=MACHINE)
        if not self.stage.points(log):
            return 0
        return self.stage.judge_newest(log, is_torn=self.is_torn)[1].last

    def oldest(self) -> int:
        """Return the oldest point of the first generation."""
        return self.stage.numbers(MACHINE)[0]


@contextmanager
def made(folder: Path | None = None, *, far: bool = False) -> Iterator[World]:
    """Have a world for as long as the block takes; in a named folder its scenes stay for a later one.

    ``far`` puts the store behind a network.
    """
    with ExitStack() as undo:
        if folder is None:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="kill-")))
        shutil.rmtree(folder / KEPT / "half", ignore_errors=True)
        for path in folder.iterdir():
            if path.name != KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        sites = undo.enter_context(Sites())
        bucket = undo.enter_context(closing(Bucket())) if far else None
        world = World(folder, sites, bucket)
        undo.callback(world.close)
        undo.callback(sites.close)
        yield world


def goes_on_from(record: int, promised: int) -> None:
    assert record >= promised, f"it goes on from record {record}, and {promised} was promised"


def acknowledged(side: Stand, machine: str) -> int:
    found = re.findall(r"ledger: acknowledged (\d+)\s", side.console(machine))
    return int(found[-1]) if found else 0


def copied(source: Path, target: Path) -> None:
    tool("cp", "-a", "-T", "--sparse=always", source, target)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


SCENES: dict[str, tuple[str, Callable[[World], None]]] = {
    "defined": ("", World.defined),
    "protected": ("defined", World.protected),
    "handed over": ("protected", World.handed_over),
    "over": ("protected", World.over),
    "reversed": ("over", World.reversed),
    "level": ("reversed", World.level),
    "handed back": ("level", World.handed_back),
    "handed back at once": ("reversed", World.handed_back),
    "home": ("handed back", World.home),
}
"""Each scene, the one that it goes on from, and what happens in between."""
