"""A host whose machines are libvirt's domains, and whose disks of ours lie in a folder.

libvirt keeps the definitions, replaces them whole, and serves many connections at once; each verb has one of
its own, so that a daemon that was restarted is noticed by nobody. What lies in the folder:

    NAME/disks/DISK-<16 hexadecimal digits>.qcow2   images that ``new_disk`` gave a place to
    NAME/belonging.json                             to which replication group it belongs
    NAME/starting                                   locked while we start it: ``guard`` says why
    NAME/console.log                                what the serial console said since the last start
    NAME/run/                                       scratch files and a socket, while a machine is replicated
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bascule.model.errors import Missing, Off, Refused, Unavailable
from bascule.model.machines import DiskPlace, Firmware, MachineDefinition, Power, check, uuid_of
from bascule.ports.chance import Clock, Ids

from ...qemu.host.folder import replace_durably
from ...sizes import check_size
from ..connection import Connection, Domain, connect, told
from ..machine import LibvirtMachine
from ..states import is_short_of_room
from . import leases
from .described import USER_NETWORK, Means, domain
from .doors import barrier, doors_of, open_doors, user_of
from .guard import HOOKS, MARK, Guard
from .leases import Lease
from .picture import console_at, screen_of
from .understood import console_in, definition_of, files_of, is_ours, leases_of, with_disks_elsewhere

_OURS = re.compile(r".+-[0-9a-f]{16}\.qcow2")
_INACTIVE = 2  # of virDomainXMLFlags: what the next start is made from
_ALL_METADATA = 1 | 2 | 4 | 16  # of virDomainUndefineFlagsValues: saved state, snapshots, NVRAM, checkpoints
_STATES = {1: Power.RUNNING, 2: Power.RUNNING, 3: Power.PAUSED, 4: Power.RUNNING, 7: Power.PAUSED}
_LOOKS_SECONDS = 0.05
_GO_ON_SECONDS, _TO_FAIL_SECONDS = 5.0, 0.2
_PAUSED, _GRACEFUL = 1, 1  # of virDomainCreateFlags and of virDomainDestroyFlagsValues
KINDS = {"auto": "", "kvm": "kvm", "tcg": "qemu"}


class LibvirtHost:
    """See ``ports.hypervisors.Hypervisor``. ``acceleration`` is ``auto``, ``kvm`` or ``tcg``."""

    def __init__(self, uri: str, folder: Path, clock: Clock, ids: Ids, acceleration: str = "auto") -> None:
        if acceleration not in KINDS:
            raise Refused(f"there is no accelerator {acceleration!r}", cure=f"choose from {', '.join(KINDS)}")
        self._uri = uri
        self._folder = folder
        self._clock = clock
        self._ids = ids
        self._kind = KINDS[acceleration]
        self._guard = Guard(folder)

    @contextmanager
    def _host(self, doing: str) -> Iterator[Connection]:
        connection = connect(self._uri)
        try:
            with told(doing):
                yield connection
        finally:
            connection.close()

    @contextmanager
    def _domain(self, name: str, doing: str = "") -> Iterator[Domain]:
        with self._host(f"{name} {doing}".strip()) as connection:
            yield _found(connection, name)

    def machines(self) -> tuple[str, ...]:
        """See Hypervisor."""
        with self._host("the machines of a host") as connection:
            return tuple(sorted(known.name() for known in connection.listAllDomains()))

    def networks(self) -> tuple[str, ...]:
        """See Hypervisor. libvirt's that are started, and ``user``: out through the host, and not in."""
        with self._host("the networks of a host") as connection:
            found = {known.name() for known in connection.listAllNetworks() if known.isActive()}
        return tuple(sorted({*found, USER_NETWORK}))

    def definition(self, name: str) -> MachineDefinition:
        """See Hypervisor."""
        with self._domain(name) as known:
            return definition_of(known.XMLDesc(_INACTIVE))

    def fits(self, definition: MachineDefinition) -> None:
        """See Hypervisor."""
        check(definition)
        networks = self.networks()
        for nic in definition.hardware.nics:
            if nic.network and nic.network not in networks:
                raise Refused(
                    f"{definition.name}: this host has no network {nic.network!r} for card {nic.id}",
                    cure=f"it has {', '.join(networks)}; more are added with virsh net-define",
                )
        with self._host(f"{definition.name} cannot be defined") as connection:
            _refuse_number(connection, definition)
            known = leases_of(_before(connection, definition.name))
            leases.check(connection, definition.name, leases.wanted(definition), known)
            kind = self._kind or _fastest(connection)
            check_size(definition, connection.getMaxVcpus(kind), connection.getInfo()[1])

    def define(self, definition: MachineDefinition) -> None:
        """See Hypervisor. Of a domain that somebody else defined only the places of disks can be changed."""
        self.fits(definition)
        self._check_images(definition)
        with self._host(f"{definition.name} cannot be defined") as connection:
            kind, console = self._kind or _fastest(connection), str(self._console(definition.name))
            if definition.hardware.firmware is Firmware.UEFI:
                _must_have_uefi(connection, definition.name, kind)
            before = _before(connection, definition.name)
            if before and not is_ours(before):
                description = with_disks_elsewhere(before, definition)
            else:
                means = Means(kind, console, _leased(connection, definition, before))
                description = domain(definition, means)
            with told(f"{definition.name} cannot be defined", Refused):
                connection.defineXML(description)

    def _check_images(self, definition: MachineDefinition) -> None:
        boot = definition.hardware.boot
        paths = {disk.id: disk.words for disk in definition.disks if not disk.is_served}
        if boot:
            paths |= {"its kernel": boot.kernel, "its initial file system": boot.initrd}
        for what, path in paths.items():
            if path and not Path(path).is_absolute():
                raise Refused(f"{definition.name}: {path} is no whole path", cure="begin it with a /")
            if path and not Path(path).exists():
                raise Refused(f"{definition.name}: nothing is at {path} for {what}")

    def forget(self, name: str) -> None:
        """See Hypervisor."""
        with suppress(Missing), self._host(f"{name} cannot be forgotten") as connection:
            known = _found(connection, name)
            if known.isActive():
                raise Refused(f"{name} runs", cure="shut it down, or cut its power, first")
            leases.release(connection, leases_of(known.XMLDesc(_INACTIVE)))
            known.undefineFlags(_ALL_METADATA)
            self._console(name).unlink(missing_ok=True)
            self._belonging(name).unlink(missing_ok=True)

    def mark(self, name: str, text: str) -> None:
        """See Hypervisor."""
        with self._domain(name), told_of(self._folder):
            path = self._belonging(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_durably(path, text)

    def marked(self, name: str) -> str:
        """See Hypervisor."""
        path = self._belonging(name)
        with self._domain(name), told_of(path):
            return path.read_text() if path.exists() else ""

    def _belonging(self, name: str) -> Path:
        return self._folder / name / MARK

    def guard(self, asking: Sequence[str], settings: Path | None = None) -> str:
        """See Hypervisor."""
        if "/system" not in self._uri:
            raise Refused(
                "nobody can be asked by the libvirt daemon of a user",
                cure="set no machine to start by itself, and start them with `bascule machine start`",
            )
        with told_of(HOOKS):
            path = self._guard.post(asking, settings)
        return (
            f"libvirt learns of {path} when its daemon starts: `systemctl restart libvirtd` (or virtqemud);"
            " its machines run on"
        )

    def starts_unasked(self, name: str) -> bool:
        """See Hypervisor."""
        with self._domain(name) as known:
            return bool(known.autostart()) and not self._guard.is_there

    def power(self, name: str) -> Power:
        """See Hypervisor."""
        with self._domain(name) as known:
            return _STATES.get(known.state()[0], Power.OFF)

    def start(self, name: str) -> None:
        """See Hypervisor."""
        with self._host(f"{name} does not start") as connection:
            known = _found(connection, name)
            keeps_out = self._open_doors(connection, known)
            if self._is_at_rest(known):
                known.resume()
            self._go_on(known)
            if known.isActive():
                return
            try:
                with (
                    told_of(self._folder),
                    told(f"{name} does not start", Refused),
                    self._guard.passing(name),
                ):
                    known.create()
            except Refused as refused:
                if not known.isActive():  # else somebody was faster
                    raise Refused(refused.message, cure=keeps_out or refused.cure) from refused

    def _go_on(self, known: Domain) -> None:
        """Let a machine go on that stands still before a write, for want of room or of a disk that answers.

        The first request may fail even if a disk is back: QEMU only begins to connect with it.
        """
        deadline = self._clock.monotonic() + _GO_ON_SECONDS
        while is_short_of_room(known):
            if self._clock.monotonic() > deadline:
                raise Unavailable(
                    f"{known.name()} stands still: a disk of it does not answer, or has no room",
                    cure="see that what serves its disks runs and has room, then ask again",
                )
            known.resume()
            failed = self._clock.monotonic() + _TO_FAIL_SECONDS
            while not is_short_of_room(known) and self._clock.monotonic() < failed:
                self._clock.sleep(_LOOKS_SECONDS)

    def _open_doors(self, connection: Connection, known: Domain) -> str:
        """Let the QEMU of a machine of ours reach disks served on this host; return the cure if it cannot."""
        description = known.XMLDesc(_INACTIVE)
        doors = doors_of(description)
        if os.geteuid() or not doors or not is_ours(description):
            return ""
        user = user_of(description, connection.getCapabilities())
        if user is None:
            return ""
        open_doors(doors, user)
        kept = barrier(doors, user)
        return f"let QEMU, which is user {user.uid}, pass {kept}, or choose another --folder" if kept else ""

    def shut_down(self, name: str, seconds: float) -> None:
        """See Hypervisor."""
        deadline = self._clock.monotonic() + seconds
        with self._domain(name, "cannot be shut down") as known:
            if not known.isActive():
                return
            with _unless_off(known):
                if self._is_at_rest(known):
                    known.destroyFlags(_GRACEFUL)
                else:
                    known.shutdown()
            while known.isActive():
                if self._clock.monotonic() > deadline:
                    raise Unavailable(
                        f"{name} did not power off within {seconds:g} s, and runs on",
                        cure="look at its console, or cut its power",
                    )
                self._clock.sleep(_LOOKS_SECONDS)

    def rest(self, name: str, seconds: float) -> None:
        """See Hypervisor. It is shut down, and started again without its processors: images keep records."""
        with self._host(f"{name} cannot be brought to rest") as connection:
            known = _found(connection, name)
            if known.isActive() and self._is_at_rest(known):
                return
            self._open_doors(connection, known)
            self._go_on(known)
        self.shut_down(name, seconds)
        with self._host(f"{name} cannot be brought to rest") as connection, told_of(self._folder):
            known = _found(connection, name)
            self._open_doors(connection, known)
            console = Path(console_in(known.XMLDesc()) or os.devnull)
            said = console.read_bytes() if console.is_file() else b""
            with self._guard.passing(name):
                known.createWithFlags(_PAUSED)
            if said:  # the start emptied it, and how the guest ended is what people look for
                console.write_bytes(said)
            self._at_rest(name).write_text(str(known.ID()))

    def _is_at_rest(self, known: Domain) -> bool:
        """Tell whether a domain was started without its processors; each start has a number of its own."""
        note = self._at_rest(known.name())
        with told_of(self._folder):
            return note.exists() and note.read_text() == str(known.ID())

    def _at_rest(self, name: str) -> Path:
        return self._folder / name / "at-rest"

    def cut_power(self, name: str) -> None:
        """See Hypervisor."""
        with self._domain(name, "does not end") as known, _unless_off(known):
            if known.isActive():
                known.destroy()

    def adopt(self, name: str) -> LibvirtMachine:
        """See Hypervisor."""
        return LibvirtMachine(self._uri, name, self._folder / name / "run", self._clock, self._ids)

    def new_disk(self, name: str, disk: str) -> DiskPlace:
        """See Hypervisor."""
        folder = self._folder / name / "disks"
        with told_of(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return DiskPlace(disk, str(folder / f"{disk}-{self._ids.random(8).hex()}.qcow2"))

    def remove_disk(self, place: DiskPlace) -> None:
        """See Hypervisor."""
        path = Path(place.words)
        is_at_home = len(path.parents) > 2 and path.parents[2] == self._folder and path.parent.name == "disks"
        if not is_at_home or not _OURS.fullmatch(path.name):
            raise Refused(f"{path} is no image that this host gave a place to", cure="remove it yourself")
        with self._host(f"{path} cannot be removed") as connection:
            for known in connection.listAllDomains():
                if {str(path)} & (files_of(known.XMLDesc()) | files_of(known.XMLDesc(_INACTIVE))):
                    raise Refused(f"{known.name()} is defined with {path}", cure="define it without, first")
        path.unlink(missing_ok=True)

    def console(self, name: str) -> str:
        """See Hypervisor. A domain of somebody else has one where its serial port is a file."""
        with self._domain(name) as known:
            path = console_in(known.XMLDesc())
        with told_of(Path(path)):
            return console_at(Path(path)) if path else ""

    def screenshot(self, name: str) -> bytes:
        """See Hypervisor."""
        with self._host(f"the screen of {name}") as connection:
            known = _found(connection, name)
            if not known.isActive():
                raise Off(f"{name} is off", cure="start it")
            return screen_of(connection, known)

    def _console(self, name: str) -> Path:
        return self._folder / name / "console.log"


def _found(connection: Connection, name: str) -> Domain:
    with told(name):
        return connection.lookupByName(name)


def _before(connection: Connection, name: str) -> str:
    """Return the description of a machine as its next start would be, empty if it is not defined."""
    with suppress(Missing):
        return _found(connection, name).XMLDesc(_INACTIVE)
    return ""


@contextmanager
def _unless_off(known: Domain) -> Iterator[None]:
    """Do something to a machine; that it ended meanwhile is no failure."""
    try:
        with told(known.name(), Refused):
            yield
    except Refused:
        if known.isActive():
            raise


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Say of an error of the host's files what it means."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}", cure="look at the host's folder") from error


def _refuse_number(connection: Connection, definition: MachineDefinition) -> None:
    """Refuse a machine with the number of another one, which libvirt would take for that one."""
    number = definition.hardware.uuid or uuid_of(definition.name)
    for known in connection.listAllDomains():
        if known.UUIDString() == number and known.name() != definition.name:
            raise Refused(
                f"{definition.name} has the number of {known.name()}, which this host has too: {number}",
                cure=f"forget {known.name()} first, or give this one another number: --uuid MACHINE=new",
            )


def _leased(connection: Connection, definition: MachineDefinition, before: str) -> tuple[Lease, ...]:
    """See that the addresses of a machine are kept for it, and no others that we kept for it before."""
    wanted, known = leases.wanted(definition), leases_of(before)
    places = {(lease.network, lease.mac, lease.host) for lease in wanted}
    leases.release(connection, (old for old in known if (old.network, old.mac, old.host) not in places))
    ours = {(old.network, old.mac, old.host) for old in known if old.is_ours}
    return tuple(
        replace(lease, is_ours=lease.is_ours or (lease.network, lease.mac, lease.host) in ours)
        for lease in leases.reserve(connection, wanted)
    )


def _fastest(connection: Connection) -> str:
    """Return libvirt's type of domain for the fastest way that it says it has."""
    return "kvm" if "<domain type='kvm'" in connection.getCapabilities() else "qemu"


def _must_have_uefi(connection: Connection, name: str, kind: str) -> None:
    if "<value>efi</value>" not in connection.getDomainCapabilities(None, "x86_64", "q35", kind):
        raise Refused(
            f"{name} needs UEFI, and this host has no such firmware", cure="install the package ovmf"
        )
