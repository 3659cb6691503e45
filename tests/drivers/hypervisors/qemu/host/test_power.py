"""Machines that start, stand still and end, while whoever asked for it dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.host import command
from bascule.drivers.hypervisors.qemu.host.process import holder
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.model.errors import Refused, Unavailable
from bascule.model.machines import DiskPlace, Firmware, Hardware, MachineDefinition, Power
from lab.waiting import wait_until
from tests.contracts.hypervisors import READY, SIZE
from tests.drivers.hypervisors.guests import served

from .conftest import QemuSite

pytestmark = pytest.mark.lab


def defined(site: QemuSite, temper: str = "deaf", name: str = "web") -> MachineDefinition:
    host = site.connect()
    place = host.new_disk(name, "disk0")
    site.make(place)
    definition = MachineDefinition(name, Hardware(memory_mib=128, boot=site.boot(temper)), (place,))
    host.define(definition)
    return definition


def beats(site: QemuSite) -> int:
    return len(re.findall(r"beat \d+\.", site.connect().console("web")))


def test_a_machine_whose_export_is_away_stands_still_and_goes_on_when_it_is_started_again(
    site: QemuSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away under a running instant machine costs the guest time, and no error."""
    monkeypatch.setattr(command, "_RECONNECT_SECONDS", 1)
    image, socket = site.folder / "image", site.folder / "nbd"
    image.write_bytes(bytes(SIZE))
    host = site.connect()
    place = DiskPlace("disk0", f"nbd+unix:///disk0?socket={socket}", "raw")
    definition = MachineDefinition("web", Hardware(memory_mib=128, boot=site.boot("busy")), (place,))
    with served(image, socket):
        host.define(definition)
        host.start("web")
        wait_until(lambda: beats(site) > 3, site.patience)
    wait_until(lambda: host.power("web") is Power.PAUSED, site.patience)
    before = beats(site)
    for asked in (host.start, partial(host.rest, seconds=1)):
        with pytest.raises(Unavailable, match="web stands still: a disk of it does not answer"):
            asked("web")
    assert host.power("web") is Power.PAUSED
    with served(image, socket):
        host.start("web")
        assert host.power("web") is Power.RUNNING
        wait_until(lambda: beats(site) > before + 3, site.patience)
        host.cut_power("web")
    assert "failed" not in host.console("web")
    assert image.read_bytes()[:1].isdigit()


def test_a_machine_that_somebody_paused_is_not_woken_by_a_start(site: QemuSite) -> None:
    defined(site)
    host = site.connect()
    host.start("web")
    owner = Monitor.connect(site.machine_folder("web").watch)
    owner.execute("stop")
    host.start("web")
    assert host.power("web") is Power.PAUSED
    owner.execute("cont")
    owner.close()
    assert host.power("web") is Power.RUNNING


_STARTS = """
import sys
from pathlib import Path
from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.qemu.host.host import QemuHost

host = QemuHost(Path(sys.argv[1]), SystemClock(), SystemIds(), "tcg")
print("here", flush=True)
sys.stdin.readline()
host.start("web")
print("started", flush=True)
"""


def starter(site: QemuSite) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTS, site.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def qemus(site: QemuSite) -> list[int]:
    """Return the processes that run in the machine's folder."""
    folder = site.machine_folder("web").path
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "qemu" in (process / "comm").read_text() and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return found


@pytest.mark.parametrize("milliseconds", [0, 3, 6, 10, 20, 40, 80])
def test_a_starter_killed_at_any_moment_leaves_one_machine_or_none_and_the_next_start_gives_one(
    site: QemuSite, milliseconds: int
) -> None:
    defined(site)
    first = starter(site)
    first.stdin.write("go\n")
    first.stdin.flush()
    try:
        first.wait(max(milliseconds, 0.5) / 1000)
    except subprocess.TimeoutExpired:  # else it was quicker, which is a moment too
        os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    host = site.connect()
    host.start("web")
    assert host.power("web") is Power.RUNNING
    wait_until(lambda: len(qemus(site)) == 1)
    assert qemus(site) == [holder(site.machine_folder("web").pid)]
    wait_until(lambda: READY in host.console("web"), site.patience)
    host.cut_power("web")
    wait_until(lambda: qemus(site) == [])


def test_a_machine_outlives_the_session_of_its_starter(site: QemuSite) -> None:
    defined(site)
    first = starter(site)
    first.stdin.write("go\n")
    first.stdin.flush()
    assert first.stdout.readline() == "started\n"
    os.killpg(first.pid, signal.SIGTERM)
    first.communicate()
    host = site.connect()
    wait_until(lambda: READY in host.console("web"), site.patience)
    assert host.power("web") is Power.RUNNING


def test_processes_that_start_a_machine_at_once_start_one(site: QemuSite) -> None:
    defined(site)
    crew = [starter(site) for _ in range(4)]
    for process in crew:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in crew] == ["started\n"] * 4
    assert qemus(site) == [holder(site.machine_folder("web").pid)]


def test_a_disk_that_another_machine_writes_to_is_not_given_to_a_second(site: QemuSite) -> None:
    definition = defined(site)
    host = site.connect()
    host.define(replace(definition, name="twin"))
    host.start("web")
    with pytest.raises(Refused, match=r'twin does not start: .*Failed to get "write" lock'):
        host.start("twin")
    assert host.power("twin") is Power.OFF


def test_a_disk_that_is_no_image_is_refused_in_the_words_of_qemu(site: QemuSite) -> None:
    definition = defined(site)
    Path(definition.disks[0].words).write_bytes(b"no image at all" * 1000)
    with pytest.raises(Refused, match=r"web does not start: .*not in qcow2 format"):
        site.connect().start("web")


def test_many_may_ask_for_power_and_pictures_at_once(site: QemuSite) -> None:
    defined(site)
    host = site.connect()
    host.start("web")
    with ThreadPoolExecutor(8) as crew:
        powers = [crew.submit(site.connect().power, "web") for _ in range(20)]
        pictures = [crew.submit(host.screenshot, "web") for _ in range(4)]
        assert {done.result() for done in powers} == {Power.RUNNING}
        assert all(done.result().startswith(b"\x89PNG") for done in pictures)
    assert not list(site.machine_folder("web").path.glob("screen*"))


def test_an_overlay_on_a_backing_file_boots_and_takes_the_writes(site: QemuSite) -> None:
    host = site.connect()
    base, overlay = site.folder / "base.qcow2", host.new_disk("web", "disk0")
    site.make(DiskPlace("disk0", str(base)))
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay.words]
    subprocess.run(words, check=True)
    before = base.read_bytes()
    host.define(MachineDefinition("web", Hardware(memory_mib=128, boot=site.boot("busy")), (overlay,)))
    host.start("web")
    wait_until(lambda: beats(site) > 3, site.patience)
    host.cut_power("web")
    assert base.read_bytes() == before
    assert "failed" not in host.console("web")
    listed = subprocess.run(["qemu-img", "map", overlay.words], check=True, capture_output=True, text=True)
    assert overlay.words in listed.stdout, "what was written is in the overlay"


def test_a_disk_has_its_name_as_its_serial_number_in_the_guest(site: QemuSite) -> None:
    defined(site)
    host = site.connect()
    host.start("web")
    wait_until(lambda: "serial disk0" in host.console("web"), site.patience)


def test_a_machine_boots_by_uefi_and_has_variables_of_its_own(site: QemuSite) -> None:
    definition = defined(site)
    host = site.connect()
    host.define(
        replace(definition, hardware=replace(definition.hardware, firmware=Firmware.UEFI, memory_mib=256))
    )
    host.start("web")
    wait_until(lambda: READY in host.console("web"), site.patience)
    assert (site.machine_folder("web").path / "variables.fd").stat().st_size > 0
    host.cut_power("web")
    host.start("web")
    assert host.power("web") is Power.RUNNING


def test_a_guest_that_starts_itself_anew_stays_the_same_machine(site: QemuSite) -> None:
    defined(site, "again")
    host = site.connect()
    host.start("web")
    first = holder(site.machine_folder("web").pid)
    wait_until(lambda: host.console("web").count(READY) >= 2, site.patience)
    assert holder(site.machine_folder("web").pid) == first


def test_nobody_who_asks_while_a_guest_powers_off_hears_anything_but_running_or_off(site: QemuSite) -> None:
    """QEMU closes its monitors before it ends."""
    defined(site, "brief")
    host = site.connect()
    host.start("web")
    seen = set()

    def is_off() -> bool:
        seen.add(host.power("web"))
        return Power.OFF in seen

    with ThreadPoolExecutor(3) as crew:
        asking = [crew.submit(wait_until, is_off, site.patience) for _ in range(3)]
        host.shut_down("web", site.patience)
        for asked in asking:
            asked.result()
    assert Power.OFF in seen
