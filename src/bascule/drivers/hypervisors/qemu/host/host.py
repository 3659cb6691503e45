"""A host of QEMU machines without a daemon: every process that opens its folder is the host.

Nothing starts by itself: not when the host boots, not when a machine ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bascule.model.errors import Refused
from bascule.model.machines import DiskPlace, MachineDefinition, Power, check
from bascule.ports.chance import Clock, Ids

from ...sizes import check_size, memory_mib
from ..machine import QemuMachine
from .accelerator import AUTO, accelerator
from .command import CPUS_MAX, Means, check_places, command_line, loose_cards
from .folder import HostFolder, MachineFolder, make_durably, replace_durably, told_of
from .images import check_images, past_the_cache, uefi_of
from .networks import check_networks, networks_in
from .picture import console_of, screen_of
from .plugs import descriptors, plugged, sweep
from .power import (
    bring_to_rest,
    cut,
    go_on,
    is_at_rest,
    launch,
    must_run,
    power_of,
    pull_cables,
    shut_down,
    status_of,
)
from .process import holder, is_in_use

_OURS = re.compile(r".+-[0-9a-f]{16}\.qcow2")


class QemuHost:
    """See ``ports.hypervisors.Hypervisor``. ``acceleration`` is ``auto``, ``kvm`` or ``tcg``."""

    def __init__(self, folder: Path, clock: Clock, ids: Ids, acceleration: str = AUTO) -> None:
        self._folder = HostFolder(folder)
        self._clock = clock
        self._ids = ids
        self._acceleration = acceleration

    def machines(self) -> tuple[str, ...]:
        """See Hypervisor."""
        return self._folder.names()

    def networks(self) -> tuple[str, ...]:
        """See Hypervisor."""
        return tuple(networks_in(self._folder.path))

    def definition(self, name: str) -> MachineDefinition:
        """See Hypervisor."""
        return self._folder.machine(name).definition()

    def fits(self, definition: MachineDefinition) -> None:
        """See Hypervisor."""
        check_places(check(definition))
        check_size(definition, CPUS_MAX, memory_mib())
        self._folder.must_fit(definition.name)
        check_networks(definition, networks_in(self._folder.path))

    def define(self, definition: MachineDefinition) -> None:
        """See Hypervisor."""
        self.fits(definition)
        check_images(definition)
        with self._folder.held():
            check_networks(definition, networks_in(self._folder.path))
            self._folder.machine(definition.name).define(definition)

    def forget(self, name: str) -> None:
        """See Hypervisor."""
        if not self._folder.machine(name).is_defined:
            return
        with self._folder.held_machine(name) as folder, self._folder.held():
            if holder(folder.pid):
                raise Refused(f"{name} runs", cure="shut it down, or cut its power, first")
            folder.forget()

    def mark(self, name: str, text: str) -> None:
        """See Hypervisor."""
        with self._folder.held_machine(name) as folder:
            replace_durably(folder.belonging, text)

    def marked(self, name: str) -> str:
        """See Hypervisor."""
        folder = self._known(name)
        with told_of(folder.belonging):
            return folder.belonging.read_text() if folder.belonging.exists() else ""

    def guard(self, asking: Sequence[str], settings: Path | None = None) -> str:
        """See Hypervisor. These machines are nobody's but ours to start."""
        del asking, settings
        return ""

    def starts_unasked(self, name: str) -> bool:
        """See Hypervisor."""
        self._known(name)
        return False

    def power(self, name: str) -> Power:
        """See Hypervisor."""
        return power_of(self._known(name))

    def start(self, name: str) -> None:
        """See Hypervisor."""
        with self._folder.held_machine(name) as folder:
            if is_at_rest(folder):
                cut(folder)
            if status_of(folder):
                go_on(folder)
                return
            self._launch(folder)

    def _launch(self, folder: MachineFolder, *more: str) -> None:
        sweep(self._folder)
        definition = folder.definition()
        check_images(definition)
        with plugged(self._folder, networks_in(self._folder.path), definition, self._ids) as plugs:
            means = Means(
                accelerator(self._folder, self._acceleration),
                plugs,
                past_the_cache(definition.disks),
                uefi_of(folder, definition),
            )
            launch(folder, [*command_line(definition, means), *more], descriptors(plugs))
        pull_cables(folder, loose_cards(definition.hardware))

    def shut_down(self, name: str, seconds: float) -> None:
        """See Hypervisor."""
        shut_down(self._known(name), seconds)
        sweep(self._folder)

    def rest(self, name: str, seconds: float) -> None:
        """See Hypervisor."""
        with self._folder.held_machine(name) as folder:
            if not holder(folder.pid):
                self._launch(folder, "-S")
                return
            go_on(folder)
        bring_to_rest(folder, seconds)

    def cut_power(self, name: str) -> None:
        """See Hypervisor."""
        with self._folder.held_machine(name) as folder:
            cut(folder)
        sweep(self._folder)

    def adopt(self, name: str) -> QemuMachine:
        """See Hypervisor."""
        folder = self._known(name)
        must_run(folder)
        return QemuMachine.adopt(folder.replicate, folder.fleeces, self._clock, self._ids)

    def new_disk(self, name: str, disk: str) -> DiskPlace:
        """See Hypervisor."""
        folder = self._folder.machine(name)
        with told_of(folder.disks):
            make_durably(folder.disks)
        return DiskPlace(disk, str(folder.disks / f"{disk}-{self._ids.random(8).hex()}.qcow2"))

    def remove_disk(self, place: DiskPlace) -> None:
        """See Hypervisor."""
        path = Path(place.words)
        self._must_be_ours(path)
        with self._folder.held():
            for machine in self._folder.machines():
                if any(Path(disk.words) == path for disk in machine.definition().disks):
                    raise Refused(f"{machine.name} is defined with {path}", cure="define it without, first")
            if is_in_use(path):
                raise Refused(f"{path} is open in another process", cure="stop the machine that still has it")
            path.unlink(missing_ok=True)

    def _must_be_ours(self, path: Path) -> None:
        folder = self._folder.machine(path.parent.parent.name).disks if len(path.parents) > 2 else None
        if path.parent != folder or not _OURS.fullmatch(path.name):
            raise Refused(f"{path} is no image that this host gave a place to", cure="remove it yourself")

    def console(self, name: str) -> str:
        """See Hypervisor."""
        folder = self._known(name)
        with told_of(folder.console):
            return console_of(folder)

    def screenshot(self, name: str) -> bytes:
        """See Hypervisor."""
        folder = self._known(name)
        with told_of(folder.path):
            return screen_of(folder, self._ids)

    def _known(self, name: str) -> MachineFolder:
        folder = self._folder.machine(name)
        folder.must_exist()
        return folder
