"""A host of machines in memory that keeps the promises of ``ports.hypervisors`` and nothing else.

One object is the host and every connection to it. ``interrupt`` is called at the beginning and at the end of
every verb: what it raises is what the verb ends with, an error of the host or the death of whoever asked.

Its guests say ``guest: ready`` as soon as they run and power off when they are asked to. One whose kernel is
told ``temper=deaf`` does not, and one that is told ``temper=brief`` powers off at once.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.model.machines import DiskPlace, MachineDefinition, Power, check, mac_of
from bascule.ports.chance import Clock, Ids

from ..sizes import check_size
from .machine import FakeDisk, FakeHost, FakeMachine, FakeSource

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SCHEME = "fake-image:"
_SAID = "guest: ready\n"
_CPUS_MAX, _MEMORY_MIB_MAX = 64, 65536

Moment = Literal["before", "after"]


def _verb(
    does: Callable[Concatenate[FakeHypervisor, _P], _R],
) -> Callable[Concatenate[FakeHypervisor, _P], _R]:
    """Let a method be interrupted before and after, and run alone."""

    @wraps(does)
    def done(self: FakeHypervisor, /, *args: _P.args, **named: _P.kwargs) -> _R:
        with self.lock:
            self.interrupt(does.__name__, "before")
            result = does(self, *args, **named)
            self.interrupt(does.__name__, "after")
            return result

    return done


class FakeHypervisor:
    """See ``ports.hypervisors.Hypervisor``. ``images`` are disks by their words, exports of others too.

    ``autostarted`` are machines that something else would start, ``asked_before`` is what it asks then.
    """

    def __init__(self, clock: Clock, ids: Ids, networks: Iterable[str] = ("lan",)) -> None:
        self.lock = threading.RLock()
        self.images: dict[str, FakeDisk] = {}
        self.running: dict[str, FakeHost] = {}
        self.resting: set[str] = set()
        self.autostarted: set[str] = set()
        self.asked_before: tuple[str, ...] = ()
        self.interrupt: Callable[[str, Moment], None] = lambda _verb, _moment: None
        self._clock = clock
        self._ids = ids
        self._networks = tuple(sorted(networks))
        self._definitions: dict[str, MachineDefinition] = {}
        self._consoles: dict[str, str] = {}
        self._marks: dict[str, str] = {}
        self._memory_mib = _MEMORY_MIB_MAX

    def make(self, words: str, content: bytes) -> FakeDisk:
        """Put an image at a place."""
        disk = self.images[words] = FakeDisk(bytearray(content))
        return disk

    def open(self, words: str) -> FakeSource:
        """Open an image, or a frozen disk of a running machine, by its words."""
        if words in self.images:
            return FakeSource(bytes(self.images[words].content), None)
        for machine in self.running.values():
            if words in machine.images:
                return machine.images[words]
        raise Unavailable(f"nothing is served at {words}")

    def lose_power(self) -> None:
        """End all machines without a goodbye: definitions and disks stay, what was recorded is gone."""
        with self.lock:
            self.resting.clear()
            for name in list(self.running):
                self.running.pop(name).lose_power()

    def shrink(self, memory_mib: int) -> None:
        """Have only so much memory."""
        self._memory_mib = memory_mib

    def lose_network(self, name: str) -> None:
        """Have a network no longer."""
        self._networks = tuple(known for known in self._networks if known != name)

    @_verb
    def machines(self) -> tuple[str, ...]:
        """See Hypervisor."""
        return tuple(sorted(self._definitions))

    @_verb
    def networks(self) -> tuple[str, ...]:
        """See Hypervisor."""
        return self._networks

    @_verb
    def definition(self, name: str) -> MachineDefinition:
        """See Hypervisor."""
        return self._known(name)

    @_verb
    def fits(self, definition: MachineDefinition) -> None:
        """See Hypervisor. Addresses are handed out in networks whose names begin with ``user``."""
        self._refuse_unfit(definition)

    def _refuse_unfit(self, definition: MachineDefinition) -> None:
        check_size(check(definition), _CPUS_MAX, self._memory_mib)
        for nic in definition.hardware.nics:
            if nic.network and nic.network not in self._networks:
                raise Refused(f"{definition.name}: the host has no network {nic.network!r}")
            if nic.address and not nic.network.startswith("user"):
                raise Refused(
                    f"{definition.name}: nobody hands out {nic.address} in {nic.network!r}",
                    cure=f"reserve it there for {nic.mac or mac_of(definition.name, nic.id)}",
                )

    @_verb
    def define(self, definition: MachineDefinition) -> None:
        """See Hypervisor."""
        self._refuse_unfit(definition)
        for disk in definition.disks:
            if not disk.is_served and disk.words not in self.images:
                raise Refused(f"{definition.name}: no disk is at {disk.words}")
        self._definitions[definition.name] = definition

    @_verb
    def forget(self, name: str) -> None:
        """See Hypervisor."""
        if name in self.running:
            raise Refused(f"{name} runs", cure="stop it first")
        self._definitions.pop(name, None)
        self._consoles.pop(name, None)
        self._marks.pop(name, None)

    @_verb
    def mark(self, name: str, text: str) -> None:
        """See Hypervisor."""
        self._known(name)
        self._marks[name] = text

    @_verb
    def marked(self, name: str) -> str:
        """See Hypervisor."""
        self._known(name)
        return self._marks.get(name, "")

    @_verb
    def guard(self, asking: Sequence[str], settings: Path | None = None) -> str:
        """See Hypervisor."""
        del settings
        self.asked_before = tuple(asking)
        return "let the daemon know" if self.autostarted else ""

    @_verb
    def starts_unasked(self, name: str) -> bool:
        """See Hypervisor."""
        self._known(name)
        return name in self.autostarted and not self.asked_before

    @_verb
    def power(self, name: str) -> Power:
        """See Hypervisor."""
        self._known(name)
        if name in self.resting:
            return Power.PAUSED
        return Power.RUNNING if name in self.running else Power.OFF

    @_verb
    def start(self, name: str) -> None:
        """See Hypervisor."""
        self._known(name)
        if name in self.resting:
            self._power_off(name)
        if name in self.running:
            return
        self._boot(name)
        self._consoles[name] = _SAID
        if "brief" in self._temper(name):
            self._power_off(name)

    def _boot(self, name: str) -> None:
        disks = {disk.id: self._image(name, disk) for disk in self._definitions[name].disks}
        self.running[name] = FakeHost({}, name)
        self.running[name].disks = disks

    def _image(self, name: str, disk: DiskPlace) -> FakeDisk:
        if disk.words not in self.images:
            raise Refused(f"{name} does not start: nothing is at {disk.words}")
        if any(self.images[disk.words] in other.disks.values() for other in self.running.values()):
            raise Refused(f"{name} does not start: another machine writes to {disk.words}")
        return self.images[disk.words]

    def _temper(self, name: str) -> str:
        boot = self._definitions[name].hardware.boot
        return boot.command_line if boot else ""

    @_verb
    def shut_down(self, name: str, seconds: float) -> None:
        """See Hypervisor."""
        self._known(name)
        if name not in self.running:
            return
        if name in self.resting:
            self._power_off(name)
            return
        if "deaf" in self._temper(name):
            raise Unavailable(
                f"{name} did not power off within {seconds:g} s and runs on", cure="cut its power"
            )
        self._power_off(name)

    def _power_off(self, name: str) -> None:
        """End a machine in order: what images record of changes stays with them, where they can keep it."""
        keeping = {disk.id for disk in self._definitions[name].disks if disk.format == "qcow2"}
        machine = self.running.pop(name)
        self.resting.discard(name)
        kept = {disk: dict(image.records) for disk, image in machine.disks.items() if disk in keeping}
        machine.lose_power()
        for disk, records in kept.items():
            machine.disks[disk].records.update(records)

    @_verb
    def rest(self, name: str, seconds: float) -> None:
        """See Hypervisor."""
        self._known(name)
        if name not in self.running:
            self._boot(name)
        elif "deaf" in self._temper(name) and name not in self.resting:
            raise Unavailable(f"{name} did not power off within {seconds:g} s", cure="cut its power")
        self.resting.add(name)

    @_verb
    def cut_power(self, name: str) -> None:
        """See Hypervisor."""
        self._known(name)
        self.resting.discard(name)
        if name in self.running:
            self.running.pop(name).lose_power()

    @_verb
    def adopt(self, name: str) -> FakeMachine:
        """See Hypervisor."""
        return FakeMachine(self._on(name), self._clock, self._ids)

    @_verb
    def new_disk(self, name: str, disk: str) -> DiskPlace:
        """See Hypervisor."""
        return DiskPlace(disk, f"{_SCHEME}{name}/{disk}-{self._ids.random(4).hex()}")

    @_verb
    def remove_disk(self, place: DiskPlace) -> None:
        """See Hypervisor."""
        if not place.words.startswith(_SCHEME):
            raise Refused(f"{place.words} is no disk that this host gave a place to")
        for definition in self._definitions.values():
            if any(disk.words == place.words for disk in definition.disks):
                raise Refused(f"{definition.name} is defined with {place.words}")
        image = self.images.get(place.words)
        for name, machine in self.running.items():
            if any(disk is image for disk in machine.disks.values()):
                raise Refused(f"{name} still runs with {place.words}")
        self.images.pop(place.words, None)

    @_verb
    def console(self, name: str) -> str:
        """See Hypervisor."""
        self._known(name)
        return self._consoles.get(name, "")

    @_verb
    def screenshot(self, name: str) -> bytes:
        """See Hypervisor."""
        self._on(name)
        return _DOT

    def _known(self, name: str) -> MachineDefinition:
        if name not in self._definitions:
            raise Missing(f"no machine is called {name}")
        return self._definitions[name]

    def _on(self, name: str) -> FakeHost:
        self._known(name)
        if name not in self.running:
            raise Unavailable(f"{name} is off", cure="start it")
        return self.running[name]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# One black dot, which is all that a machine in memory shows.
_DOT = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(bytes(2)))
    + _chunk(b"IEND", b"")
)
