"""Machines that boot from their own disks: the ledger goes on from life to life, wherever the disks are."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.model.machines import Firmware, MachineDefinition
from lab import ledger, machines
from lab.filesystems import ToolFailed
from lab.guests import Guest, agent_channel
from lab.machines import Keeping
from lab.waiting import wait_until
from tests.lab.agents import Agent

pytestmark = pytest.mark.lab


def qmp(socket: Path) -> list[str]:
    return ["-qmp", f"unix:{socket},server=on,wait=off"]


def press_power_button(socket: Path) -> None:
    monitor = Monitor.connect(socket)
    monitor.execute("system_powerdown")
    monitor.close()


def acknowledged(guest: Guest) -> int:
    return max(map(int, re.findall(r"ledger: acknowledged (\d+)\s", guest.console)), default=0)


def judged(definition: MachineDefinition, bounds: ledger.Bounds | None = None) -> ledger.Verdict:
    with ledger.opened(*machines.ledger_disks(definition)) as disks:
        return ledger.judge(disks, bounds or ledger.Bounds(), name=definition.name)


def copied(definition: MachineDefinition, folder: Path) -> MachineDefinition:
    """Return the machine with copies of its disks, as somewhere else."""
    folder.mkdir()
    places = []
    for place in definition.disks:
        path = folder / f"{place.id}.copy"
        shutil.copyfile(place.words, path)
        places.append(replace(place, words=str(path)))
    return replace(definition, disks=tuple(places))


def test_a_machine_goes_on_with_its_ledger_after_a_power_cut_and_obeys_its_button(tmp_path: Path) -> None:
    keeping = Keeping("alpha", records_a_second=50, writes_a_record=10)
    definition = machines.make(keeping, tmp_path / "disks")
    assert [place.id for place in definition.disks] == ["boot", "data1", "data2"]
    assert definition.hardware.firmware is Firmware.BIOS
    assert definition.hardware.boot is None
    with machines.guest(definition) as guest:
        guest.hear("ledger: up at record 0, life 1")
        guest.hear("ledger: 1000 writes")
        guest.kill()
        last = acknowledged(guest)
    before = judged(definition, ledger.Bounds(at_least=last, instant=False))
    elsewhere = copied(definition, tmp_path / "elsewhere")
    with machines.guest(elsewhere, qmp(tmp_path / "qmp")) as guest:
        guest.hear(f"ledger: up at record {before.last}, life 2")
        guest.hear(f"ledger: acknowledged {before.last + 1}")
        press_power_button(tmp_path / "qmp")
        said = guest.wait(30)
    verdict = judged(elsewhere)
    assert verdict.life == 2
    assert f"ledger: closed at record {verdict.last}" in said
    assert judged(definition, ledger.Bounds(instant=False)) == before, (
        "the disks it came from are as they were"
    )


def raw_copies(definition: MachineDefinition, folder: Path) -> list[Path]:
    """Copy the disks of the ledger while the machine runs on."""
    folder.mkdir()
    copies = []
    for place in definition.disks[1:]:
        copies.append(folder / f"{place.id}.raw")
        subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", place.words, copies[-1]], check=True)
    return copies


def test_a_machine_with_an_agent_freezes_its_file_systems(tmp_path: Path) -> None:
    """R-RP-1: what a freeze of the file systems promises can be checked in the lab."""
    keeping = Keeping("alpha", writes_a_record=5, on_files=True, agent=True)
    definition = machines.make(keeping, tmp_path / "disks")
    with machines.guest(definition, agent_channel(tmp_path / "agent")) as guest:
        guest.hear("ledger: acknowledged")
        agent = Agent(tmp_path / "agent")
        assert agent.ask("guest-fsfreeze-freeze") == 2
        last = acknowledged(guest)
        frozen = raw_copies(definition, tmp_path / "frozen")
        assert agent.ask("guest-fsfreeze-status") == "frozen"
        assert agent.ask("guest-fsfreeze-thaw") == 2
        wait_until(lambda: acknowledged(guest) > last + 1, 60)
        living = raw_copies(definition, tmp_path / "living")
        agent.tell("guest-shutdown")
        guest.wait(60)
        agent.close()
    with ledger.opened(*machines.ledger_files(frozen, tmp_path / "frozen")) as disks:
        # It says what it acknowledged five times a second.
        bounds = ledger.Bounds(at_least=last, at_most=last + keeping.records_a_second)
        assert ledger.judge(disks, bounds, name="alpha").life == 1
    with pytest.raises(ToolFailed, match="cut off"):
        machines.ledger_files(living, tmp_path / "living")
    stopped = raw_copies(definition, tmp_path / "stopped")
    with ledger.opened(*machines.ledger_files(stopped, tmp_path / "stopped")) as disks:
        assert f"ledger: closed at record {ledger.judge(disks).last}" in guest.console


def test_machines_on_one_network_hear_of_each_others_records(tmp_path: Path) -> None:
    """R-RP-5: order across machines can be judged."""
    wires = {"alpha": "server=on", "beta": "server=off"}
    guests, definitions = [], []
    for name, end in wires.items():
        definition = machines.make(Keeping(name, disks=1), tmp_path / name)
        address = f"addr.type=unix,addr.path={tmp_path}/wire,{end}"
        card = ["-netdev", f"stream,id=wire,{address}", "-device", "virtio-net-pci,netdev=wire"]
        guests.append(machines.guest(definition, card).start())
        definitions.append(definition)
    try:
        for guest in guests:
            guest.hear("ledger: up at record 0")
        # Both are up: whoever writes from now on has heard of the other.
        begun = [acknowledged(guest) for guest in guests]
        pairs = list(zip(guests, begun, strict=True))
        wait_until(lambda: all(acknowledged(guest) > last + 1 for guest, last in pairs), 60)
    finally:
        for guest in guests:
            guest.kill()
    alpha, beta = map(judged, definitions)
    assert alpha.heard
    assert beta.heard
    assert alpha.heard.keys() == {beta.birth}
    assert beta.heard.keys() == {alpha.birth}
