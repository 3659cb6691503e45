"""Whether a domain runs, who stopped it, and how its backup is ended."""

from __future__ import annotations

from bascule.model.errors import Missing, Off, Refused, Unavailable
from bascule.ports.chance import Clock

from .backups import OURS, is_of
from .connection import Domain, is_no_backup, told

_RUNNING = 1
_STOPPED_BY_SOMEBODY = [3, 1]
_STOPPED_BY_LACK_OF_ROOM = [3, 5]
_LOST = "backup job data missing"
_ENDS_SECONDS = 60.0
_LOOKS_SECONDS = 0.004


def must_run(domain: Domain, name: str) -> None:
    """Raise Off if a domain is off."""
    try:
        with told(name):
            is_active = domain.isActive()
    except Missing as error:
        raise Off(f"{name} is gone", cure="see whether the machine was stopped") from error
    if not is_active:
        raise Off(f"{name} is off", cure="start it")


def is_on(domain: Domain) -> bool:
    """Tell whether a domain is on, running or standing still."""
    with told(domain.name()):
        return bool(domain.isActive())


def runs(domain: Domain) -> bool:
    """Tell whether the processors of a domain run."""
    with told(domain.name()):
        return domain.state()[0] == _RUNNING


def let_run(domain: Domain) -> bool:
    """Let a domain run that somebody stopped; tell whether that was so."""
    with told(domain.name()):
        if list(domain.state()) != _STOPPED_BY_SOMEBODY:
            return False
        domain.resume()
        return True


def is_short_of_room(domain: Domain) -> bool:
    """Tell whether QEMU stopped a guest before a write for which there is no room."""
    with told(domain.name()):
        return list(domain.state()) == _STOPPED_BY_LACK_OF_ROOM


def has_job(domain: Domain) -> bool:
    """Tell whether libvirt has something under way with a domain, such as a backup.

    A daemon that was killed while it began a backup does not know of it after that, and waits for its end:
    Unavailable, for so does whatever is asked of it then.
    """
    try:
        with told(domain.name()):
            return bool(domain.jobStats().get("type", 0))
    except Unavailable as error:
        if _LOST not in error.message:
            raise
        raise Unavailable(
            f"{domain.name()}: libvirt waits for the end of a backup that it lost when its daemon was killed",
            cure="when that suits, shut the machine down, restart the daemon, start the machine",
        ) from error


def refuse_busy(domain: Domain) -> None:
    """Raise Unavailable if libvirt would let a backup wait, half a minute, for something else."""
    if has_job(domain):
        raise Unavailable(
            f"{domain.name()}: libvirt has something else under way with this machine",
            cure="see what it is (`virsh domjobinfo`), and wait until that has ended",
        )


def backup_of(domain: Domain) -> str:
    """Return libvirt's description of the backup that runs, empty if none does."""
    try:
        with told(domain.name()):
            return domain.backupGetXMLDesc()
    except (Unavailable, Refused) as error:
        if is_no_backup(error):
            return ""
        raise


def has_backup(domain: Domain, names: str) -> bool:
    """Tell whether a backup runs whose exports' names begin so."""
    description = backup_of(domain)
    return bool(description) and is_of(description, names)


def end_backup(domain: Domain, clock: Clock) -> None:
    """End our backup, if it runs, and wait until nothing of it is left.

    A guest that was stopped because there was no room for what it overwrites goes on, and writes.
    """
    description = backup_of(domain)
    if not description:
        return
    if not is_of(description, OURS):
        raise Unavailable(
            f"{domain.name()}: somebody else makes a backup of this machine", cure="wait until that has ended"
        )
    try:
        with told(domain.name()):
            domain.abortJob()
    except Unavailable:
        if has_job(domain):  # else it came to its end by itself
            raise
    with told(domain.name()):
        deadline = clock.monotonic() + _ENDS_SECONDS
        while has_job(domain):
            if clock.monotonic() > deadline:
                raise Unavailable(f"{domain.name()}: libvirt does not end our backup", cure="try again later")
            clock.sleep(_LOOKS_SECONDS)
        if is_short_of_room(domain):
            domain.resume()
