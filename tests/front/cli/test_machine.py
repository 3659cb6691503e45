"""``bascule machine`` with the fake host, and with a folder where nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.data.store import DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.hypervisors.fake.host import FakeHypervisor
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.front.cli.machine.define import disk_from
from bascule.front.cli.words.belonging import belonging_of
from bascule.model import belonging
from bascule.model.errors import Refused, Unavailable
from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Power
from bascule.ports.hypervisors import Hypervisor
from bascule.recovery.generations import hand_over, is_handed_over
from tests.front.cli.conftest import Done


class FakeTools(SystemTools):
    def __init__(self) -> None:
        super().__init__({"BASCULE_HOST": "fake"})
        self.host = FakeHypervisor(SystemClock(), SystemIds(), ("lan", "test"))

    def open_hypervisor(self, words: str) -> Hypervisor:
        assert Path(words).name == "fake"
        return self.host


class Site:
    """Commands on a fake host with one image."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.tools: FakeTools = FakeTools()
        self.place = self.tools.host.new_disk("web", "disk0").words
        self.tools.host.make("/vm/web.qcow2", bytes(4096))
        self.capture = capture

    def __call__(self, *words: str, code: int = 0) -> Done:
        self.capture.readouterr()
        assert run(["machine", *words], self.tools) == code
        return Done(code, *self.capture.readouterr())

    def define(self, *more: str) -> Done:
        return self("define", "web", "--disk", "disk0=/vm/web.qcow2", "--nic", "lan", *more)


@pytest.fixture
def machine(capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(capsys)


def test_a_machine_is_defined_started_stopped_and_removed(machine: Site) -> None:
    assert machine("list").out.split() == ["NAME", "POWER", "CPUS", "MEMORY", "DISKS", "NETWORKS"]
    shown = machine.define("--cpus", "2", "--memory", "2G").out
    assert "2048 MiB" in shown
    assert "/vm/web.qcow2 (qcow2)" in shown
    assert machine("start", "web").out == "web is running.\n"
    row = machine("list").out.splitlines()[1].split()
    assert row == ["web", "running", "2", "2048", "MiB", "disk0", "lan"]
    assert machine("console", "web").out == "guest: ready\n"
    assert machine("stop", "web").out == "web is off.\n"
    assert machine("remove", "web", "--disks").out == "Removed web.\nLeft /vm/web.qcow2.\n"
    assert machine("list", "--json").document == {"machines": [], "problems": []}


def test_what_show_prints_as_json_can_be_defined_again(machine: Site, tmp_path: Path) -> None:
    machine.define()
    found = machine("show", "web", "--json").document
    assert found["power"] == "off"
    definition = found["definition"]
    definition["hardware"]["nics"].append({"id": "net1", "network": "test", "mac": "52:54:00:00:00:01"})
    file = tmp_path / "web.json"
    file.write_text(json.dumps(definition))
    machine("define", "web", "--file", str(file))
    assert machine("show", "web", "--json").document["definition"] == definition
    assert "defines 'web', not 'other'" in machine("define", "other", "--file", str(file), code=2).err


def test_a_guest_that_does_not_stop_is_said_to_run_on_and_can_be_killed(machine: Site) -> None:
    machine.define("--kernel", "/boot/vmlinuz", "--append", "temper=deaf")
    machine("start", "web")
    assert "runs on" in machine("stop", "web", "--within", "1s", code=3).err
    assert machine("kill", "web", "--json").document == {"name": "web", "power": "off"}


def test_disks_that_the_host_made_places_for_are_removed_with_the_machine_if_asked(machine: Site) -> None:
    machine.tools.host.make(machine.place, bytes(4096))
    machine("define", "web", "--disk", f"disk1={machine.place}", code=2)
    place = DiskPlace("disk1", machine.place)
    machine.tools.host.define(MachineDefinition("web", Hardware(), (place,)))
    gone = machine("remove", "web", "--disks", "--json").document
    assert gone == {"removed": "web", "disks_removed": [machine.place], "disks_left": []}
    assert machine.place not in machine.tools.host.images


def test_a_screen_is_written_into_a_file(machine: Site, tmp_path: Path) -> None:
    machine.define()
    machine("start", "web")
    file = tmp_path / "web.png"
    machine("screenshot", "web", str(file))
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "cannot write" in machine("screenshot", "web", str(tmp_path), code=2).err


def test_networks_are_listed(machine: Site) -> None:
    assert machine("networks").out == "lan\ntest\n"


def test_who_names_no_host_or_no_machine_is_told_what_to_do(machine: Site, desk) -> None:
    assert machine("start", "ghost", code=2).err.count("ghost") == 1
    assert "BASCULE_HOST" in desk.run("machine", "list").err
    assert desk.ok("machine", "list", "--host", desk.path("host"), "--json").document["machines"] == []
    assert desk.ok("machine", "networks", "--host", desk.path("host")).out == "isolated\nuser\n"
    assert (
        desk.run("machine", "show", "web", "--host", desk.path("host"), "--json").error["code"] == "missing"
    )


def test_places_of_disks_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert disk_from("a=web.qcow2") == DiskPlace("a", str(tmp_path / "web.qcow2"), "qcow2")
    assert disk_from("a=/vm/x=y.img") == DiskPlace("a", "/vm/x=y.img", "raw")
    assert disk_from("a=/vm/web.img?format=qcow2") == DiskPlace("a", "/vm/web.img", "qcow2")
    served = "nbd+unix:///disk0?socket=/run/web.sock"
    assert disk_from(f"a={served}") == DiskPlace("a", served, "raw")
    for wrong in ("/vm/web.img", "disk0="):
        with pytest.raises(Refused, match="is no disk"):
            disk_from(wrong)


def test_a_machine_that_cannot_be_read_does_not_hide_the_others(desk, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        desk.ok("machine", "define", name, "--host", tmp_path)
    (tmp_path / "machines" / "bad" / "definition.json").write_text("{")
    listed = desk.ok("machine", "list", "--host", tmp_path, "--json").document
    assert [machine["name"] for machine in listed["machines"]] == ["good"]
    assert [problem["name"] for problem in listed["problems"]] == ["bad"]
    assert "bad: a machine's definition cannot be read" in desk.ok("machine", "list", "--host", tmp_path).out


class Replicated(FakeTools):
    """A fake host whose machine belongs to a group of a store in memory, which may be away."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.settings = {"BASCULE_HOST": "fake", "BASCULE_KEY_FILE": str(folder / "key")}
        KeyFile.create(folder / "key", SystemIds())
        self.objects = MemoryStore(SetClock())
        self.vault = Vault.init(
            self.objects, KeyFile.read(folder / "key"), ids=SystemIds(), clock=SystemClock()
        )
        self.is_away = False

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> MemoryStore:
        if self.is_away:
            raise Unavailable("the store does not answer", cure="look at the line")
        return self.objects

    def go_over(self, before: str, after: str) -> None:
        """Let another side begin the next generation."""
        self.vault.branch((before, self.publish(before)), after, writer="the other side").close()

    def publish(self, group: str) -> int:
        with self.vault.begin(group, writer="replicator") as writer:
            spec = MachineSpec("web", "web", (DiskSpec("disk0", 4096),))
            return writer.cut([spec]).publish().number


@pytest.fixture
def replicated(machine: Site, tmp_path: Path) -> Replicated:
    """Tools of a host with a machine that belongs to group ``shop``, and is off."""
    machine.tools = tools = Replicated(tmp_path)
    tools.host.make("/vm/web.qcow2", bytes(4096))
    machine.define()
    place = belonging_of(tools, "mem://", None, None, "shop")
    tools.host.mark("web", belonging.written(place))
    return tools


def test_a_machine_starts_where_its_group_is_at_home(machine: Site, replicated: Replicated) -> None:
    machine("start", "web")
    machine("kill", "web")
    replicated.publish("shop")
    machine("start", "web")


def test_a_machine_that_went_over_is_not_started_by_hand(machine: Site, replicated: Replicated) -> None:
    """R-FO-7."""
    replicated.go_over("shop", "shop~2")
    refused = machine("start", "web", code=2)
    assert "is to shop~2 now" in refused.err
    assert "fail-back mem:// shop" in refused.err
    assert replicated.host.power("web") is Power.OFF
    forced = machine("start", "web", "--force")
    assert "warning: web went over" in forced.err
    assert replicated.host.power("web") is Power.RUNNING
    machine("start", "web")  # one that runs is left alone


def test_a_machine_that_was_handed_over_is_taken_back_only_when_asked_to(
    machine: Site, replicated: Replicated
) -> None:
    replicated.publish("shop")
    hand_over(replicated.vault, "shop", "admin")
    assert "was handed over" in machine("start", "web", code=2).err
    assert is_handed_over(replicated.vault, "shop")
    machine("start", "web", "--force")
    assert not is_handed_over(replicated.vault, "shop"), "the other side must not believe that it has all"


def test_a_machine_whose_store_is_away_stays_down(machine: Site, replicated: Replicated) -> None:
    """Never two that we started."""
    replicated.publish("shop")
    replicated.is_away = True
    assert "the store does not answer" in machine("start", "web", code=3).err
    assert replicated.host.power("web") is Power.OFF
    assert "started nevertheless" in machine("start", "web", "--force").err
    assert replicated.host.power("web") is Power.RUNNING


def test_a_start_past_us_is_told_whether_a_machine_is_at_home(
    machine: Site, replicated: Replicated, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    mark.write_text(replicated.host.marked("web"))
    replicated.publish("shop")
    machine("may-start", "web", str(mark))
    replicated.go_over("shop", "shop~2")
    assert "web went over to another side" in machine("may-start", "web", str(mark), code=2).err
    replicated.is_away = True
    assert "does not answer" in machine("may-start", "web", str(mark), code=3).err
    mark.write_text("")
    machine("may-start", "web", str(mark))
    assert "none: No such file" in machine("may-start", "web", str(tmp_path / "none"), code=2).err


def test_a_host_that_others_start_machines_on_is_guarded(
    machine: Site, replicated: Replicated, tmp_path: Path
) -> None:
    assert "nothing to guard" in machine("guard").out
    replicated.host.autostarted.add("web")
    assert "Let the daemon know." in machine("guard", "--settings", str(tmp_path / "key")).out
    assert replicated.host.asked_before[-2:] == ("machine", "may-start")
    assert "no file is at" in machine("guard", "--settings", str(tmp_path / "none"), code=2).err


def test_who_protects_a_machine_that_its_host_starts_unasked_is_told(
    machine: Site, replicated: Replicated, tmp_path: Path
) -> None:
    words = ["protect", "fake#web", "mem://store", "--group", "web", "--folder", str(tmp_path / "provider")]
    replicated.host.autostarted.add("web")
    machine("start", "web")
    machine.capture.readouterr()
    assert run(words, replicated) == 0
    said = machine.capture.readouterr().err
    assert "missing  start: web starts when its host boots" in said
    assert "`bascule machine guard --host '" in said
    machine("guard")
    assert run([*words[:-1], str(tmp_path / "another")], replicated) == 0
    assert "missing  start" not in machine.capture.readouterr().err
