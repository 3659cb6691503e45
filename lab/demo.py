"""``make demo``: two sites on this machine, and a real machine that goes over to the other and comes home.

Every line with a ``$`` is a command that was run just so, on a host of the site that the line names.
Everything happens in one temporary folder and in namespaces of its own, which are removed however it ends.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bascule.model.machines import MachineDefinition, written

from . import children, filesystems, machines
from .filesystems import ToolFailed, tool
from .machines import Keeping
from .sites import Sites
from .stage import MACHINE, MIB, PATIENCE_SECONDS, Failed, Stage, ok, step
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
        "them home with only what changed. Here are two sites. The machine between them keeps a ledger on\n"
        "two disks: numbered records, each flushed before the next. So it can be told what was lost."
    )
    machine_at_work(stage, size)
    protect(stage)
    rehearse(stage)
    disaster(stage)
    life_over_there(stage)
    home_again(stage)
    print("\n-- Figures\n")
    stage.figures.show()


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


def protect(stage: Stage) -> None:
    """Replicate it."""
    step("Protected: a point every second, into a store that only your key opens. Nothing is installed in it")
    first = stage.first
    first.run("key", "create", "main.key")
    first.run("store", "init", "store")
    first.run("protect", f"first#{MACHINE}", "store", "--group", MACHINE, "--every", "1s")
    begun = time.monotonic()
    first.begin("provider", "run", "first-provider")
    wait_until(lambda: stage.points(MACHINE) > 0, PATIENCE_SECONDS, "the first point")
    stage.figures.add("first copy, while the machine writes", f"{time.monotonic() - begun:.1f} s")
    wait_until(lambda: stage.points(MACHINE) >= _POINTS_BEFORE, PATIENCE_SECONDS, "more points")
    first.run("status", shown=True)
    number, verdict = stage.judge_newest(MACHINE)
    ok(f"point {MACHINE}/{number} is one instant of it: records up to {verdict.last}, none missing or torn")


def rehearse(stage: Stage) -> None:
    """Start a copy of it beside it."""
    step("A test failover at the second site, cut off from the world, while replication goes on")
    second, copy = stage.second, f"{MACHINE}-test"
    second.run("replica", "test", "store", MACHINE)
    record = second.wait_until_up(copy)
    ok(f"the copy boots from the store, checks its own ledger and goes on at record {record}")
    second.run("replica", "clean-up", "store", MACHINE, "--notes", "boots, ledger sound")


def disaster(stage: Stage) -> None:
    """Cut the first site's power, and fail over."""
    step("Disaster: the power of the first site is cut. Machine, provider, everything there ends at once")
    stage.sites.primary.cut_power()
    lost = stage.judge_at_home()
    print(f"   the last record that it flushed was {lost.last}; nobody at the second site knows")
    step("Failed over: fenced, then booted straight from the store, whatever the size of its disks")
    second, typed = stage.second, time.monotonic()
    second.run("replica", "fail-over", "store", MACHINE)
    record = second.wait_until_up(MACHINE)
    seconds = time.monotonic() - typed
    stage.figures.add("RTO: from Enter until its service is up", f"{seconds:.1f} s")
    _, verdict = stage.judge_newest(MACHINE)
    if record < verdict.last:
        raise Failed(f"it went on at record {record}, and its point has {verdict.last}")
    lag = lost.time - verdict.time
    stage.figures.add("RPO: what the power cut cost", f"{lag:.1f} s, {lost.last - verdict.last} records")
    ok(f"it runs, and goes on with record {record + 1}: {lag:.1f} s of work are lost, nothing before")
    second.run("replica", "commit", "store", MACHINE)


def life_over_there(stage: Stage) -> None:
    """Replicate it back at once; the first site wakes up and finds itself fenced."""
    step("It works on at the second site, and is replicated from there: by what it wrote since")
    second, group = stage.second, f"{MACHINE}~2"
    second.run("protect", f"second#{MACHINE}", "store", "--group", group, "--every", "1s", "--take-over")
    second.begin("provider", "run", "second-provider")
    wait_until(lambda: stage.points(group) >= _POINTS_BEFORE, PATIENCE_SECONDS, "points of the second site")
    step("The first site has power again. Its provider finds that the machine is not its own any more")
    stage.first.begin("provider", "run", "first-provider")
    wait_until(
        lambda: "fenced" in stage.first.run("status", MACHINE, quietly=True),
        PATIENCE_SECONDS,
        "the first site to notice",
    )
    stage.first.run("status", shown=True)
    ok("it publishes nothing: an old primary never writes over newer points")


def home_again(stage: Stage) -> None:
    """Fail back."""
    step("Home: beside the old disks new ones become level with it, while it runs on over there")
    first, second = stage.first, stage.second
    levelled = first.run_json("replica", "fail-back", "store", MACHINE)
    moved = levelled["fetched_bytes"]
    typed = time.monotonic()
    second.run("replica", "hand-over", "store", MACHINE)
    last = second.closed_at()
    done = first.run_json("replica", "fail-back", "store", MACHINE)
    record = first.wait_until_up(MACHINE)
    stage.figures.add("downtime of the way home, both boots in it", f"{time.monotonic() - typed:.1f} s")
    moved += done["fetched_bytes"]
    share = 100 * moved / stage.size
    stage.figures.add(
        "moved to bring it home", f"{moved / MIB:.1f} MiB of {stage.size // MIB}, {share:.1f} %"
    )
    if record != last:
        raise Failed(f"it left with record {last} and came home with record {record}")
    ok(f"it left with record {last}, and goes on at home after record {record}: nothing is lost")
    first.run("replica", "commit", "store", MACHINE)
    second.run("replica", "release", "store", MACHINE)
    first.run("machine", "stop", MACHINE)
    verdict = stage.judge_at_home(at_rest=True)
    ok(f"its disks hold records up to {verdict.last}, of {verdict.life} lives, none missing or torn")
    orphans = [name for name in stage.vault_groups() if "~orphan-" in name]
    if len(orphans) != 1:
        raise Failed(f"what the first site wrote last is kept {len(orphans)} times")
    ok(f"what nobody saw before the power cut is kept too, until somebody discards it: {orphans[0]}")


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
