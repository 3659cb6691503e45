"""``make demo``: two sites on this machine, and a real machine that goes over to the other and comes home.

Every line with a ``$`` is a command that was run just so, on the host that the line names: two hosts of
machines, one at each site, and an office at the second site with the vault that commands both. Lines with
``>`` are what a command asked of the vault's API.
Everything happens in one temporary folder and in namespaces of its own, which are removed however it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bascule.model.machines import MachineDefinition, Power, written

from . import children, filesystems, machines
from .filesystems import ToolFailed, tool
from .machines import Keeping
from .sites import Sites
from .stage import MACHINE, MIB, PATIENCE_SECONDS, Failed, Stage, Stand, ok, step
from .waiting import wait_until

DISK_MIB = 1024
DATA_MIB = 64
_BEHIND_BOOT = 48 * MIB
_POINTS_BEFORE = 4


def main(disk_mib: int = DISK_MIB) -> int:
    """Tell the story of a machine whose disk has so many MiB; 0 if every check held."""
    children.INTERRUPTS.install()
    begun = time.monotonic()
    try:
        _refuse_without_means(disk_mib * MIB)
        with tempfile.TemporaryDirectory(prefix="bascule-demo-") as folder, Sites() as sites:
            _tell(Stage(Path(folder), sites), disk_mib * MIB)
    except KeyboardInterrupt:
        print("\nStopped. Everything it made is removed.", file=sys.stderr)
        return 130
    except (Failed, ToolFailed, OSError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll checks held, in {time.monotonic() - begun:.0f} seconds. Everything it made is removed.")
    return 0


def _tell(stage: Stage, size: int) -> None:
    print(
        "Bascule replicates machines to another site, starts them there when theirs is lost, and brings\n"
        "them home with only what changed. Here are two sites, and a vault at the second one that commands\n"
        "both. The machine between them keeps a ledger on two disks: numbered records, each flushed before\n"
        "the next. So it can be told what was lost."
    )
    machine_at_work(stage, size)
    office = Office(stage)
    office.open()
    group = protect(stage, office)
    rehearse(stage, office)
    disaster(stage, office, group)
    life_over_there(stage, office, group)
    home_again(stage, office, group)
    print("\n-- Figures\n")
    stage.figures.show()


class Office:
    """Where the vault is, and somebody who commands it: a third host, at the second site."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._host = stage.sites.recovery.add_host("office")
        self._stand = Stand("office", stage.folder, self._host)

    def open(self) -> None:
        """Run a vault with two sites, which the two hosts join."""
        step("A vault at the second site: it commands the hosts of both, and anybody who may commands it")
        self.run("key", "create", "main.key")
        self.run("store", "init", "store")
        listens = ("--listen", f"{self._host.address}:9444", "--api", f"{self._host.address}:9446")
        self._stand.begin("serve", "vaults", *listens)
        self._until_it_answers()
        self.run("login", "vaults")
        self.run("vault", "create", "company")
        for stand, site in ((self._stage.first, "paris"), (self._stage.second, "rome")):
            self.run("site", "create", site)
            self.run("site", "key", site, "--out", f"{stand.name}.key")
            stand.run(
                *("provider", "register", f"{stand.name}.key", "--name", stand.name),
                *("--folder", f"{stand.name}-provider"),
            )
            self.begin_provider(stand)

    def run(self, *words: str, shown: bool = False, quietly: bool = False) -> str:
        """Run a command here."""
        return self._stand.run(*words, shown=shown, quietly=quietly)

    def item(self, verb: str, *words: str) -> None:
        """Give the machine a command, and wait for its end."""
        self.run("item", verb, MACHINE, *words, "--wait", "--yes")

    def begin_provider(self, stand: Stand) -> None:
        """Have a host do what the vault asks of it."""
        stand.begin("provider", "run", f"{stand.name}-provider", "--host", stand.name)

    def knows_the_machine(self) -> bool:
        """Has the first host told of its machine?"""
        return MACHINE in self.run("site", "machines", "paris", quietly=True)

    def group(self) -> str:
        """Return what the points of the machine are called."""
        said = json.loads(self.run("item", "show", MACHINE, "--json", quietly=True))
        return str(said["properties"]["providerSpecificDetails"]["vmId"])

    def _until_it_answers(self) -> None:
        log = self._stage.path("office.log")
        wait_until(lambda: "vault.opened" in log.read_text(), PATIENCE_SECONDS, "the vault to open")


def machine_at_work(stage: Stage, size: int) -> None:
    """Boot a machine at the first site."""
    step("A machine at work at the first site")
    definition = _made(stage.path("images"), size)
    stage.path("shop.json").write_text(written(definition))
    first = stage.first
    first.run("machine", "define", MACHINE, "--file", "shop.json")
    first.run("machine", "start", MACHINE)
    first.wait_for_console("ledger: acknowledged")
    stage.size = size + 2 * DATA_MIB * MIB
    print(f"   {stage.size // MIB} MiB on three disks; it boots from the first and writes to the others")


def _made(folder: Path, size: int) -> MachineDefinition:
    """Make the machine's disks; behind what it boots from are files of a system, to have something."""
    definition = machines.make(Keeping(MACHINE, disks=2, disk_mib=DATA_MIB), folder)
    boot, raw = Path(definition.disks[0].words), folder / "boot.raw"
    tool("qemu-img", "convert", "-O", "raw", boot, raw)
    with raw.open("r+b") as image:
        image.truncate(size)
        image.seek(_BEHIND_BOOT)
        for path in filesystems.system_files(size // 4):
            image.write(path.read_bytes())
        image.truncate(size)
    tool("qemu-img", "convert", "-O", "qcow2", raw, boot)
    raw.unlink()
    return replace(definition, hardware=replace(definition.hardware, memory_mib=256))


def protect(stage: Stage, office: Office) -> str:
    """Replicate it; return what its points are called."""
    step("Protected: a point every second, into a store that only your key opens. Nothing is installed in it")
    wait_until(office.knows_the_machine, PATIENCE_SECONDS, "the first host to tell of its machine")
    office.run("policy", "set", "often", "--every", "1s")
    place = ("--store", str(stage.path("store")), "--key-file", str(stage.path("main.key")))
    office.run("site", "leads", "paris", "--to", "second", *place)
    begun = time.monotonic()
    office.run("item", "protect", MACHINE, "--from", "first", "--policy", "often", "--wait")
    stage.figures.add("until it was protected, while it writes", f"{time.monotonic() - begun:.1f} s")
    group = office.group()
    wait_until(lambda: stage.points(group) >= _POINTS_BEFORE, PATIENCE_SECONDS, "more points")
    office.run("item", "ls", shown=True)
    number, verdict = stage.judge_newest(group)
    ok(f"point {group}/{number} is one instant of it: records up to {verdict.last}, none missing or torn")
    return group


def rehearse(stage: Stage, office: Office) -> None:
    """Start a copy of it beside it."""
    step("A test failover at the second site, cut off from the world, while replication goes on")
    office.run("item", "test", MACHINE, "--wait")
    record = stage.second.wait_until_up(f"{MACHINE}-test")
    ok(f"the copy boots from the store, checks its own ledger and goes on at record {record}")
    office.run("item", "clean-up", MACHINE, "--notes", "boots, ledger sound", "--wait")


def disaster(stage: Stage, office: Office, group: str) -> None:
    """Cut the first site's power, and fail over."""
    step("Disaster: the power of the first site is cut. Machine, provider, everything there ends at once")
    stage.sites.primary.cut_power()
    lost = stage.judge_at_home()
    print(f"   the last record that it flushed was {lost.last}; nobody at the second site knows")
    step("Failed over: fenced, then booted straight from the store, whatever the size of its disks")
    typed = time.monotonic()
    office.item("fail-over")
    record = stage.second.wait_until_up(MACHINE)
    seconds = time.monotonic() - typed
    stage.figures.add("RTO: from Enter until its service is up", f"{seconds:.1f} s")
    _, verdict = stage.judge_newest(group)
    if record < verdict.last:
        raise Failed(f"it went on at record {record}, and its point has {verdict.last}")
    lag = lost.time - verdict.time
    stage.figures.add("RPO: what the power cut cost", f"{lag:.1f} s, {lost.last - verdict.last} records")
    ok(f"it runs, and goes on with record {record + 1}: {lag:.1f} s of work are lost, nothing before")
    office.item("commit")


def life_over_there(stage: Stage, office: Office, group: str) -> None:
    """Let the first site wake up and find itself fenced, and replicate the machine back to it."""
    step("The first site has power again. Its provider finds that the machine is not its own any more")
    office.begin_provider(stage.first)
    step("It works on at the second site, and is replicated from there: by what it wrote since")
    office.run("item", "reprotect", MACHINE, "--wait")
    log = f"{group}~2"
    wait_until(lambda: stage.points(log) >= _POINTS_BEFORE, PATIENCE_SECONDS, "points of the second site")
    if stage.first.power() is not Power.OFF:
        raise Failed("the machine runs at the first site too")
    ok("the first site starts nothing and publishes nothing: an old primary never writes over newer points")


def home_again(stage: Stage, office: Office, group: str) -> None:
    """Fail back."""
    step("Home: beside the old disks new ones become level with it, then it changes over")
    office.item("fail-back")
    last = stage.second.closed_at()
    record = stage.first.wait_until_up(MACHINE)
    moved = stage.changed_bytes(f"{group}~2")
    share = 100 * moved / stage.size
    figure = f"{moved / MIB:.1f} MiB of {stage.size // MIB}, {share:.1f} %"
    stage.figures.add("written over there, all that came home", figure)
    if record != last:
        raise Failed(f"it left with record {last} and came home with record {record}")
    ok(f"it left with record {last}, and goes on at home after record {record}: nothing is lost")
    office.item("commit")
    office.run("job", "ls", shown=True)
    stage.first.run("machine", "stop", MACHINE)
    verdict = stage.judge_at_home(at_rest=True)
    ok(f"its disks hold records up to {verdict.last}, of {verdict.life} lives, none missing or torn")


def _refuse_without_means(size: int) -> None:
    if os.geteuid():
        raise Failed("it makes network namespaces, which needs root")
    folder = tempfile.gettempdir()
    if (free := shutil.disk_usage(folder).free) < 3 * size:
        raise Failed(
            f"{folder} has {free // MIB} MiB free, it needs {3 * size // MIB}: set TMPDIR to another folder"
        )


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
