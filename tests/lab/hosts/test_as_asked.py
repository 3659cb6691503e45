"""Real guests that are what was asked of them, seen from inside (R-FO-4)."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.drivers.objects.local import LocalStore
from bascule.model.machines import DirectBoot, Hardware, MachineDefinition, Nic, mac_of, uuid_of
from bascule.model.notes import MachineNote, to_text
from lab.guests import KERNEL_WORDS, VIRTIO_DISK, initramfs, kit
from lab.waiting import wait_until
from tests.data.pipeline.worlds import Image

pytestmark = pytest.mark.lab

SIZE = 1 << 20
PATIENCE_SECONDS = 120.0
_NETWORK = ("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko")
# A lease is taken by the first card, as any DHCP client does; the second has a fixed address and pings.
_SCRIPT = r"""
mdev -s
say "cpus $(nproc)"
say "number $(cat /sys/class/dmi/id/product_uuid)"
say "memory $(sed 's/MemTotal: *\([0-9]*\) kB/\1/;t;d' /proc/meminfo)"
for card in eth0 eth1; do
    ip link set $card up
    say "$card $(cat /sys/class/net/$card/address) carrier $(cat /sys/class/net/$card/carrier)"
done
printf '#!/bin/sh\n[ "$1" != bound ] || echo "guest: leased $ip by $router" > /dev/console\n' > /lease
chmod +x /lease
udhcpc -i eth0 -q -n -t 2 -T 1 -s /lease > /dev/null 2>&1
ip address add 10.9.0.77/24 dev eth1
ping -c 1 -W 2 10.9.0.1 > /dev/null 2>&1 && say "eth1 reaches its gateway"
say ready
while true; do sleep 1000; done
"""


class Place:
    """A store with one point of one machine, and a host to recover it on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "main.key"
        clock, ids = SystemClock(), SystemIds()
        self.host = QemuHost(folder / "host", clock, ids, "tcg")
        KeyFile.create(self.key, ids)
        initrd = initramfs(folder / "guest.initrd", _SCRIPT, modules=(*VIRTIO_DISK, *_NETWORK))
        boot = DirectBoot(str(kit() / "vmlinuz"), str(initrd), KERNEL_WORDS)
        nics = (Nic("net0", "office"), Nic("net1", "backup", "52:54:00:aa:00:01"))
        definition = MachineDefinition("web", Hardware(1, 128, nics=nics, boot=boot), ())
        machine = MachineSpec("web", "web", (DiskSpec("root", SIZE),), to_text(MachineNote(definition)))
        with closing(LocalStore(folder / "store", create=True)) as objects:
            vault = Vault.init(objects, KeyFile.read(self.key), ids=ids, clock=clock)
            with vault.begin("shop", writer="somebody") as writer:
                content = {DiskKey("web", "root"): Image(bytes(SIZE))}
                copy(writer, Capture([machine], content, clock.now()), Conduct(Meter(clock)))

    def replica(self, verb: str, *words: str, code: int = 0) -> None:
        settings = {
            "BASCULE_HOST": str(self.folder / "host"),
            "BASCULE_REPLICAS": str(self.folder / "replicas"),
            "BASCULE_ACCELERATOR": "tcg",
        }
        tools = SystemTools(settings)
        assert (
            run(
                ["replica", verb, str(self.folder / "store"), "shop", "--key-file", str(self.key), *words],
                tools,
            )
            == code
        )

    def said(self, machine: str) -> str:
        """Return what a guest said until it was ready."""
        wait_until(lambda: "guest: ready" in self.host.console(machine), PATIENCE_SECONDS)
        return self.host.console(machine)


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="bsc-"))
    made = Place(folder)
    yield made
    made.replica("clean-up")
    made.replica("cancel")
    assert made.host.machines() == ()
    shutil.rmtree(folder)


def test_processors_memory_cards_and_addresses_are_as_asked(place: Place) -> None:
    networks = {"out": {"kind": "user"}, "apart": {"kind": "isolated"}}
    (place.folder / "host").mkdir(exist_ok=True)
    (place.folder / "host/networks.json").write_text(json.dumps({"version": 1, "networks": networks}))
    place.replica("fail-over", code=2)  # neither of its networks is here
    place.replica("shape", "--network", "office=out", "--network", "backup=out", "--cpus", "2")
    place.replica("shape", "--name", "web=web-2", "--memory", "192M", "--address", "web/net0=10.1.2.9/24")
    place.replica("shape", "--address", "web/net1=10.9.0.77/24")
    place.replica("shape", "--for-test", "--card", "web/net0=apart", "--memory", "128M")
    place.replica("shape", "--for-test", "--address", "web/net0=10.1.2.9/24")
    place.replica("fail-over")
    place.replica("test")

    said = place.said("web-2")
    assert "guest: cpus 2\n" in said
    assert 140 << 10 < int(re.findall(r"guest: memory (\d+)", said)[0]) < 192 << 10
    assert f"guest: number {uuid_of('web')}\n" in said, "what is licensed by it goes on, under another name"
    assert f"guest: eth0 {mac_of('web', 'net0')} carrier 1\n" in said, "the address under another name"
    assert "guest: eth1 52:54:00:aa:00:01 carrier 1\n" in said
    assert "guest: leased 10.1.2.9 by 10.1.2.1\n" in said
    assert "guest: eth1 reaches its gateway" in said, "a guest with a fixed address is in a network that fits"

    copied = place.said("web-2-test")
    assert "guest: cpus 2\n" in copied, "the size of a failover"
    assert int(re.findall(r"guest: memory (\d+)", copied)[0]) < 128 << 10
    assert re.findall("guest: number (.+)", copied) not in ([], [uuid_of("web")])
    (first, second) = re.findall(r"guest: eth\d ([0-9a-f:]+) carrier (\d)", copied)
    assert {first[0], second[0]}.isdisjoint({mac_of("web", "net0"), "52:54:00:aa:00:01"})
    assert (first[1], second[1]) == ("1", "0"), "one cable hangs loose"
    assert "guest: leased 10.1.2.9 by 10.1.2.1\n" in copied, "the same one, in a network of its own"
    assert "reaches" not in copied, "behind the other one is nobody"
