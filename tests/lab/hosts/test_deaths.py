"""A group on libvirt whose daemon and machines die at any moment of a cycle (R-RP-5, R-R-2).

No machine is left standing, every point is exact, and nothing records for nobody.
"""

from __future__ import annotations

import os
import threading
from contextlib import closing
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import BasculeError
from bascule.replication.members import Member
from bascule.replication.replicator import Cycled, Names, Replicator, World
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE
from tests.lab.hosts.test_foreign import Shown
from tests.servers.libvirtd import Libvirtd, running

pytestmark = pytest.mark.long

ROUNDS = 40
_LOST = "a backup that it lost"


class Group:
    """Two machines that are frozen together, of a daemon that is killed."""

    def __init__(self, daemon: Libvirtd, chance: Random) -> None:
        self.daemon, self.chance = daemon, chance
        self.machines = {}
        for name in ("app", "db"):
            room = daemon.room / name
            room.mkdir()
            self.machines[name] = Shown(daemon, room, name=name)
            assert self.machines[name].runs()
        clock = SystemClock()
        self.vault = Vault.init(MemoryStore(), KeyFile(bytes(range(32))), ids=SystemIds(), clock=clock)
        members = [Member(name, machine.adopt) for name, machine in self.machines.items()]
        world = World(self.vault, clock, open_source, lambda: Conduct(Meter(clock)))
        self.replicator = Replicator(world, members, Names("group", "test"))

    def write(self) -> None:
        for machine in self.machines.values():
            for disk in ("disk0", "disk1"):
                machine.write(disk, self.chance.randrange(SIZE // BLOCK) * BLOCK, self.chance.randbytes(50))

    def try_cycle(self) -> Cycled | None:
        """Make a point of both machines; None if there is none, or not of both."""
        try:
            done = self.replicator.cycle()
        except BasculeError as error:
            self._heal(str(error))
            return None
        for absence in done.absent.values():
            self._heal(str(absence))
        return None if done.absent else done

    def _heal(self, said: str) -> None:
        """Do what the cure of a lost backup says, with every machine that may have one."""
        if _LOST not in said:
            return
        for machine in self.machines.values():
            machine.domain.destroy()
        self.daemon.kill()
        self.start_all()

    def start_all(self) -> None:
        for machine in self.machines.values():
            machine.reconnect()
            if not machine.domain.isActive():
                machine.domain.create()

    def strike(self) -> None:
        """Let something die at any moment of a cycle."""
        victim = self.chance.choice(list(self.machines.values()))
        cycle = threading.Thread(target=self.try_cycle_once)
        cycle.start()
        # Not for synchronisation: any moment of a cycle is the right one.
        threading.Event().wait(self.chance.random() * 0.35)
        deeds = (self.daemon.kill, victim.domain.destroy, lambda: self.daemon.kill_machine(victim.name))
        self.chance.choice(deeds)()
        cycle.join()

    def try_cycle_once(self) -> None:
        try:
            self.replicator.cycle()
        except BasculeError:
            return

    def must_be_exact(self) -> None:
        with self.vault.peek("group") as point:
            for name, machine in self.machines.items():
                for disk, content in machine.shown().items():
                    image = bytearray(SIZE)
                    point.disk(DiskKey(name, disk)).read_into(0, memoryview(image))
                    assert image == content, f"{name}/{disk} is not as the machine has it"


@pytest.mark.parametrize("seed", [1])
def test_whatever_dies_in_a_cycle_of_a_group_it_goes_on(seed: int) -> None:
    with running() as daemon:
        group = Group(daemon, Random(seed))
        with closing(group.replicator):
            for machine in group.machines.values():
                machine.write("disk0", 0, os.urandom(SIZE))
            for _ in range(ROUNDS):
                group.write()
                group.strike()
                for machine in group.machines.values():
                    machine.reconnect()
                    wait_until(lambda machine=machine: not machine.stands_still(), 30)
                group.start_all()
                wait_until(lambda: group.try_cycle() is not None, 120)
                group.must_be_exact()
        for machine in group.machines.values():
            machine.must_be_clean()
