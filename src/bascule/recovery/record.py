"""What a host does with machines that it takes over, written down before it is done.

    SYNCING      of a failback: disks are being made equal to a point, while the machines run elsewhere
    FENCING      the source's log may be fenced; nothing is chosen yet
    CHOSEN       the source is fenced; this point is the one, and this log will go on from it
    STARTING     the log is ours, so no other host can take these machines over; they are being started
    RUNNING      every machine was started; the failover can be committed or cancelled
    COMMITTED    it stays
    CANCELLING   everything is being taken away again, until the record itself goes

Each phase is durable before the first act that belongs to it, and each act can be done twice. So whatever
the moment of a crash, the same verb again completes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from bascule.data.instant.local.folder import LocalFolder
from bascule.data.store import DiskKey
from bascule.model import machines
from bascule.model.errors import Damaged, Missing, Refused
from bascule.model.machines import MachineDefinition

from .shapes.asked import NOTHING, Asked, asked_in, fields_of

_FILE = "record"
_FORMAT = 1


class Phase(Enum):
    """How far it got."""

    SYNCING = "synchronising"
    FENCING = "fencing"
    CHOSEN = "chosen"
    STARTING = "starting"
    RUNNING = "running"
    COMMITTED = "committed"
    CANCELLING = "cancelling"


class Kind(Enum):
    """Why machines are started here."""

    FAILOVER = "failover"
    TEST = "test failover"
    FAILBACK = "failback"


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of the group: its name in the store, what it is to be on this host, and what it was there."""

    machine: str
    definition: MachineDefinition
    before: MachineDefinition | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One failover or failback. ``token`` tells a log that this record began from one that others did.

    ``number`` is the point that machines start from. While a failback synchronises it is the point that the
    disks are equal to by now, 0 for none. ``hydrate`` says that data follows from the store, ``whole`` that a
    failback downloads whole disks and compares none. ``asked`` is what the command asked machines to be.
    """

    kind: Kind
    group: str
    token: str
    phase: Phase
    number: int = 0
    log: str = ""
    members: tuple[Member, ...] = ()
    hydrate: bool = False
    whole: bool = False
    asked: Asked = NOTHING


class Records:
    """The records of a host, one folder for each group and kind, with room for what the machines write."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, group: str, kind: Kind) -> Path:
        """Return the folder of a record."""
        return self.beside(group, kind.name.lower())

    def beside(self, group: str, what: str) -> Path:
        """Return the folder of something else that is kept of a group."""
        return self._root / group / what

    def served(self, record: Record, machine: str) -> Path:
        """Return the folder that a machine's disks are served from."""
        return self.folder(record.group, record.kind) / machine

    def find(self, group: str, kind: Kind) -> Record | None:
        """Return a record, durable as it is, or None."""
        path = self.folder(group, kind)
        if not (path / _FILE).exists():
            return None
        with closing(LocalFolder(path)) as folder:
            # Whoever wrote it may have died before this, and the next act counts on it.
            folder.sync()
        return _read(path / _FILE)

    def known(self, group: str, kind: Kind) -> Record:
        """Return a record, or raise Missing."""
        found = self.find(group, kind)
        if found is None:
            raise Missing(
                f"there is no {kind.value} of {group} on this host",
                cure="see what there is with `bascule replica status`",
            )
        return found

    def groups(self) -> list[str]:
        """Return the groups that have a record of any kind."""
        return [name for name in self.names() if any(self.find(name, kind) for kind in Kind)]

    def that_began(self, log: str) -> Record | None:
        """Return the failover or failback by which the machines of a generation came to this host."""
        found = (self.find(group, kind) for group in self.groups() for kind in (Kind.FAILOVER, Kind.FAILBACK))
        return next((record for record in found if record is not None and record.log == log), None)

    def names(self) -> list[str]:
        """Return the groups that anything is or was kept of, a record or what a test showed."""
        return sorted(path.name for path in self._root.iterdir()) if self._root.exists() else []

    def save(self, record: Record) -> Record:
        """Write a record down, durable on return and never half."""
        put(self.folder(record.group, record.kind), _FILE, json.dumps(_fields(record), indent=1))
        return record

    def advance(self, record: Record, phase: Phase, **changes: Any) -> Record:
        """Write down that a record is in a later phase."""
        return self.save(replace(record, phase=phase, **changes))

    def remove(self, record: Record) -> None:
        """Forget a record, after all that it speaks of is gone."""
        self.unmark(record)
        with closing(LocalFolder(self.folder(record.group, record.kind))) as folder:
            folder.remove(_FILE)
            folder.sync()

    def marks(self, record: Record, disk: DiskKey) -> bytes:
        """Return what was marked of a download that was cut short, empty if nothing was."""
        path = self._marks(record) / disk.machine / disk.disk
        return path.read_bytes() if path.exists() else b""

    def mark(self, record: Record, disk: DiskKey, marks: bytes) -> None:
        """Keep what is marked of a download, in place of what was; durable on return and never half."""
        put(self._marks(record) / disk.machine, disk.disk, marks.decode())

    def unmark(self, record: Record) -> None:
        """Forget all marks of a record."""
        if self._marks(record).exists():
            shutil.rmtree(self._marks(record))

    def _marks(self, record: Record) -> Path:
        return self.folder(record.group, record.kind) / "marks"

    def alone(self, group: str, kind: Kind) -> closing[LocalFolder]:
        """Return a context in which nobody else on this host works on a record."""
        folder = LocalFolder(self.folder(group, kind))
        try:
            folder.lock()
        except BaseException:
            folder.close()
            raise
        return closing(folder)


def put(place: Path, name: str, text: str) -> None:
    """Replace a file of a folder, durable on return and never half."""
    with closing(LocalFolder(place)) as folder:
        file = folder.open(f"{name}.new")
        file.resize(0)
        file.write(0, text.encode())
        file.sync()
        file.close()
        folder.replace(f"{name}.new", name)
        folder.sync()


def refuse_unless(record: Record, phases: tuple[Phase, ...], verb: str, cure: str) -> None:
    """Refuse what the phase of a record does not allow."""
    if record.phase not in phases:
        raise Refused(
            f"the {record.kind.value} of {record.group} is {record.phase.value}: no {verb} now", cure=cure
        )


def _fields(record: Record) -> dict[str, Any]:
    members = [
        {
            "machine": member.machine,
            "definition": json.loads(machines.written(member.definition)),
            "before": member.before and json.loads(machines.written(member.before)),
        }
        for member in record.members
    ]
    plain = asdict(replace(record, members=(), asked=NOTHING))
    return plain | {
        "format": _FORMAT,
        "kind": record.kind.name,
        "phase": record.phase.value,
        "members": members,
        "asked": fields_of(record.asked),
    }


def _read(path: Path) -> Record:
    try:
        fields = json.loads(path.read_bytes())
        if fields.pop("format") != _FORMAT:
            raise Refused(f"{path} is of another format", cure="use the Bascule that wrote it")
        asked = asked_in(fields.pop("asked")) if "asked" in fields else NOTHING
        fields["kind"], fields["phase"] = Kind[fields["kind"]], Phase(fields["phase"])
        members = tuple(
            Member(member["machine"], _definition(member["definition"]), _before(member["before"]))
            for member in fields.pop("members")
        )
        return Record(**fields, members=members, asked=asked)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} cannot be read: {error!r}") from error


def _definition(fields: dict[str, Any]) -> MachineDefinition:
    return machines.read(json.dumps(fields))


def _before(fields: dict[str, Any] | None) -> MachineDefinition | None:
    return None if fields is None else _definition(fields)


Say = Callable[[str], None]
"""Is told each step as it begins."""
