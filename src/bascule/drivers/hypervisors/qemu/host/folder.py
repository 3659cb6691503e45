"""The folder of a host: what is defined is what has a ``definition.json``.

    networks.json            what a network card may be plugged into (``networks``)
    accelerator.json         what was found out about KVM (``accelerator``)
    isolated/                the names of isolated networks that may exist (``plugs``)
    machines/NAME/           one folder a machine, locked while it is started, ended or removed
        definition.json      written aside, synced, renamed, the folder synced: the old one or the new one
        belonging.json       to which replication group it belongs, replaced likewise
        disks/               images that ``new_disk`` gave places to
        variables.fd         what its UEFI remembers
        pid, *.qmp, agent.sock, *.log, fleeces/     of the last start; nothing here is worth a sync

Locks are taken in this order: a machine's, the host's. They die with their holder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.model.machines import MachineDefinition, read, written

_PATH_MAX = 107
"""What a Unix socket's address holds."""


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Say of an error of the host's files where it happened, and what to do."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{error.filename or path}: {error.strerror}",
            cure="see that the host's folder is there, may be written to and has room",
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own a folder that is there; who asks meanwhile waits. One that was removed meanwhile is no lock."""
    while True:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(folder, handle):
                yield
                return
        finally:
            os.close(handle)


def _is_still(folder: Path, handle: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def replace_durably(path: Path, text: str, mode: int = 0) -> None:
    """Replace a file at once: written aside, synced, renamed, and the folder synced. One caller at a time.

    It has a ``mode`` from the first moment, if one is named.
    """
    aside = path.with_name(f".{path.name}.new")
    with open(aside, "w") as stream:
        if mode:
            os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_durably(folder: Path) -> None:
    """Make a folder and its parents so that their names survive a power cut."""
    if not folder.is_dir():
        make_durably(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


class MachineFolder:
    """The folder of one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.disks = path / "disks"
        self.fleeces = path / "fleeces"
        self.pid = path / "pid"
        self.power = path / "power.qmp"
        self.replicate = path / "replicate.qmp"
        self.watch = path / "watch.qmp"
        self.agent = path / "agent.sock"
        self.console = path / "console.log"
        self.log = path / "qemu.log"
        self.belonging = path / "belonging.json"
        self._definition = path / "definition.json"

    @property
    def is_defined(self) -> bool:
        """Return whether there is such a machine."""
        return self._definition.exists()

    def definition(self) -> MachineDefinition:
        """Return what the machine is made of, or raise Missing."""
        try:
            return read(self._definition.read_bytes())
        except FileNotFoundError as error:
            raise Missing(
                f"no machine is called {self.name!r} here", cure="see what is: bascule machine list"
            ) from error

    def define(self, definition: MachineDefinition) -> None:
        """Replace the definition. The caller holds the host's lock."""
        make_durably(self.path)
        replace_durably(self._definition, written(definition))

    def forget(self) -> None:
        """Remove the definition, then what the last start left. The caller holds both locks.

        Disks stay, and so does their folder: somebody may be about to put one there.
        """
        self._definition.unlink(missing_ok=True)
        sync(self.path)
        for left in (
            self.belonging,
            self.pid,
            self.power,
            self.replicate,
            self.watch,
            self.agent,
            self.console,
            self.log,
            self.path / "variables.fd",
        ):
            left.unlink(missing_ok=True)
        for folder in (self.fleeces, self.path):
            with suppress(OSError):  # something is in it that is somebody's
                folder.rmdir()

    def must_exist(self) -> None:
        """Raise Missing if there is no such machine."""
        if not self.is_defined:
            self.definition()


class HostFolder:
    """The folder of a host."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._machines = self.path / "machines"

    def names(self) -> tuple[str, ...]:
        """Return the names of the machines, sorted."""
        return tuple(
            sorted(path.parent.name for path in self._machines.glob("*/definition.json") if path.is_file())
        )

    def machine(self, name: str) -> MachineFolder:
        """Return the folder of a machine, which need not be there."""
        if "/" in name or name in ("", ".", ".."):
            raise Missing(f"no machine can be called {name!r}")
        return MachineFolder(self._machines / name)

    def machines(self) -> Iterator[MachineFolder]:
        """Yield the folders of all machines."""
        return (self.machine(name) for name in self.names())

    def must_fit(self, name: str) -> None:
        """Refuse a machine whose sockets would have longer names than the kernel takes."""
        longest = self.machine(name).replicate
        if len(os.fsencode(longest)) > _PATH_MAX:
            raise Refused(
                f"{longest} is longer than the {_PATH_MAX} characters that a socket's address may have",
                cure="give the host a folder with a shorter path, or the machine a shorter name",
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Own the host's folder."""
        with told_of(self.path):
            make_durably(self.path)
            with locked(self.path):
                yield

    @contextmanager
    def held_machine(self, name: str) -> Iterator[MachineFolder]:
        """Own the folder of a machine, or raise Missing."""
        folder = self.machine(name)
        folder.must_exist()
        with told_of(folder.path), locked(folder.path):
            folder.must_exist()
            yield folder
