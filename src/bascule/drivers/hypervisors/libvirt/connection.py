"""A connection to a libvirt daemon, what is asked of it, and its errors in our families.

The library is an extra that needs a compiler where it is installed, so it is imported here alone, and
late. It has no types: the protocols below say of it what this room uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol, cast

from bascule.model.errors import BasculeError, Missing, Refused, Unavailable

# From libvirt's virterror.h: stable numbers, so that nothing of the library is needed to tell errors apart.
_NO_SUPPORT = 3
_FROM_RPC = 7
_NO_DOMAIN = 42
_OPERATION_TIMEOUT = 68
_OPERATION_UNSUPPORTED = 84
_NO_CHECKPOINT = 103
_NO_BACKUP = 104
_CHECKPOINT_INCONSISTENT = 109

_WITHOUT_RECORD = (_NO_CHECKPOINT, _CHECKPOINT_INCONSISTENT)
_NOT_THERE = (_NO_SUPPORT, _OPERATION_UNSUPPORTED)


class Checkpoint(Protocol):
    """What libvirt calls a checkpoint: on each disk a bitmap that records from an instant on."""

    def getName(self) -> str: ...

    def getXMLDesc(self, flags: int = 0) -> str: ...

    def delete(self, flags: int = 0) -> int: ...


class Domain(Protocol):
    """What libvirt calls a domain: a machine."""

    def name(self) -> str: ...

    def state(self) -> Sequence[int]: ...

    def UUIDString(self) -> str: ...

    def isActive(self) -> int: ...

    def XMLDesc(self, flags: int = 0) -> str: ...

    def blockInfo(self, path: str) -> Sequence[int]: ...

    def ID(self) -> int: ...

    def autostart(self) -> int: ...

    def create(self) -> int: ...

    def createWithFlags(self, flags: int) -> int: ...

    def destroyFlags(self, flags: int) -> int: ...

    def shutdown(self) -> int: ...

    def destroy(self) -> int: ...

    def undefineFlags(self, flags: int) -> int: ...

    def screenshot(self, stream: Stream, screen: int) -> str: ...

    def suspend(self) -> int: ...

    def resume(self) -> int: ...

    def fsFreeze(self) -> int: ...

    def fsThaw(self) -> int: ...

    def getTime(self) -> dict[str, int]: ...

    def jobStats(self, flags: int = 0) -> dict[str, int]: ...

    def abortJob(self) -> int: ...

    def backupBegin(self, backup: str, checkpoint: str | None) -> int: ...

    def backupGetXMLDesc(self) -> str: ...

    def listAllCheckpoints(self) -> list[Checkpoint]: ...

    def checkpointCreateXML(self, description: str, flags: int = 0) -> Checkpoint: ...

    def checkpointLookupByName(self, name: str) -> Checkpoint: ...


class Network(Protocol):
    """What libvirt calls a network: what cards are plugged into."""

    def name(self) -> str: ...

    def isActive(self) -> int: ...

    def XMLDesc(self, flags: int = 0) -> str: ...

    def update(self, command: int, section: int, index: int, xml: str, flags: int = 0) -> int: ...


class Stream(Protocol):
    """Bytes that a daemon sends."""

    def recvAll(self, handler: Callable[[object, bytes, object], object], opaque: object) -> None: ...

    def finish(self) -> int: ...


class Connection(Protocol):
    """What libvirt calls a connection: a host."""

    def isAlive(self) -> int: ...

    def getCapabilities(self) -> str: ...

    def getInfo(self) -> tuple[str, int, int, int, int, int, int, int]: ...

    def getMaxVcpus(self, kind: str) -> int: ...

    def getDomainCapabilities(self, emulator: str | None, arch: str, machine: str, kind: str) -> str: ...

    def listAllDomains(self) -> list[Domain]: ...

    def listAllNetworks(self) -> list[Network]: ...

    def defineXML(self, description: str) -> Domain: ...

    def newStream(self) -> Stream: ...

    def lookupByName(self, name: str) -> Domain: ...

    def close(self) -> int: ...


def library() -> ModuleType:
    """Return the library, or say how to get it."""
    try:
        import libvirt
    except ImportError as error:
        raise Refused(
            "this Bascule was installed without the library that speaks to libvirt",
            cure="install bascule[libvirt]; that needs libvirt's headers, pkg-config and a C compiler",
        ) from error
    # It would print every error on the terminal, the expected ones too.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return cast(ModuleType, libvirt)


def connect(uri: str) -> Connection:
    """Connect to the daemon that serves a host."""
    found = library()
    with told(f"libvirt at {uri}"):
        return cast(Connection, found.open(uri))


@contextmanager
def told(what: str, otherwise: type[BasculeError] = Unavailable, cure: str = "") -> Iterator[None]:
    """Translate libvirt's errors; ``otherwise`` is the family of those that are not sorted here."""
    errors = library().libvirtError
    try:
        yield
    except errors as error:
        code = error.get_error_code()
        message = f"{what}: {error.get_error_message() or error}"
        if error.get_error_domain() == _FROM_RPC:
            raise Unavailable(message, cure="see whether the libvirt daemon runs, then try again") from error
        if code == _NO_DOMAIN:
            raise Missing(message, cure="see what machines the host has") from error
        if code in _WITHOUT_RECORD:
            raise Refused(message, cure="settle the machine first") from error
        if code in _NOT_THERE:
            raise Refused(message, cure="this libvirt is too old, or built without it") from error
        if code == _OPERATION_TIMEOUT:
            raise Unavailable(
                message, cure="see which job somebody else has on this machine, then try again"
            ) from error
        raise otherwise(message, cure=cure) from error


def is_no_backup(error: BasculeError) -> bool:
    """Tell whether libvirt says that no backup is running."""
    cause = error.__cause__
    return cause is not None and getattr(cause, "get_error_code", lambda: 0)() == _NO_BACKUP
