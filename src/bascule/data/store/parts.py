"""Parts: what several gateways of one group contribute to a point.

A gateway writes segments under the name of the session that owns the log, and
announces them for a cut and a machine in a part. The owner's entry names the
parts it took in by digest. Each machine on each gateway process is a stream with
an id and a count of its own: parts of a stream come one after the other, so the
count that an entry accounts for tells which parts and segments it has taken in.
Parts of a session that was taken over are never used.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bascule.model.errors import Refused
from bascule.ports.chance import Ids

from .access import Access
from .format import names
from .format.container import Builder, FrameRef, Kind, Source
from .format.runs import Page, Run
from .format.sealing import MAP, tag_of
from .lane import Lane, Uploads
from .log import ENTRY_BYTES, digest_of
from .points import DiskKey, DiskSpec, MachineSpec

SALT_BYTES = 32


class PartKey(NamedTuple):
    """Which cut a part is for."""

    group: str
    session: str
    cut: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part, read back: a machine, the runs that its disks gained, and how far its stream came."""

    name: str
    digest: str
    cut: int
    machine: MachineSpec
    captured_at: float
    stream: str
    sealed_through: int
    runs: dict[DiskKey, list[Run]]


class PartWriter:
    """One gateway's hand in one cut for one machine. Lanes may be used from several threads."""

    def __init__(self, gateway: Gateway, key: PartKey, machine: MachineSpec) -> None:
        self._gateway = gateway
        self._key = key
        self._machine = machine
        self._sizes = {DiskKey(machine.id, disk.id): disk.size_bytes for disk in machine.disks}
        self._runs: dict[DiskKey, list[Run]] = {disk: [] for disk in self._sizes}
        self._guard = threading.Lock()
        self._open = 0
        self._turn = gateway.turn

    def lane(self) -> Lane:
        """Open a lane; one per worker thread."""
        with self._guard:
            self._open += 1
        return Lane(self)

    def publish(self, captured_at: float) -> str:
        """Store and announce the part; return its name. A part is announced once."""
        if self._turn != self._gateway.turn:
            raise Refused("this gateway has begun another part", cure="begin this one anew")
        if self._open:
            raise Refused("a lane of this part is still open", cure="close all lanes before publishing")
        self._gateway.uploads.drain()
        tag = tag_of(self._machine.id, "").hex()
        name = names.part(self._key.group, self._key.session, self._key.cut, tag)
        stream = self._gateway.stream(self._machine.id)
        builder = Builder(self._gateway.access.sealer, ENTRY_BYTES)
        builder.begin(Kind.PART, Source(name, self._gateway.ids.random(SALT_BYTES)))
        disks = [self._disk(builder, disk) for disk in self._machine.disks]
        fields = {
            "machine": [self._machine.id, self._machine.name, self._machine.definition],
            "disks": disks,
            "cut": self._key.cut,
            "captured_at": captured_at,
            "stream": stream.id,
            # The part takes a number itself, so that one without data is newer than the one before it too.
            "sealed_through": stream.next(),
        }
        self._gateway.access.objects.create(name, builder.finish(json.dumps(fields).encode()))
        return name

    def _disk(self, builder: Builder, disk: DiskSpec) -> dict[str, Any]:
        key = DiskKey(self._machine.id, disk.id)
        runs = sorted(self._runs[key], key=lambda run: run.block)
        frame = builder.add(tag_of(*key), 0, Page(runs).pack(), MAP)
        return {"id": disk.id, "size": disk.size_bytes, "runs": list(frame[1:])}

    # what lanes ask for

    def take(self) -> Builder:
        """Return a buffer begun as the gateway's next segment."""
        builder = self._gateway.uploads.take()
        builder.begin(Kind.SEGMENT, self._gateway.next_segment(self._key, self._machine.id))
        return builder

    def send(self, builder: Builder) -> None:
        """Store a full segment."""
        self._gateway.uploads.send(builder)

    def tag(self, disk: DiskKey) -> bytes:
        """Return the bytes that stand for a disk in seals."""
        return tag_of(*disk)

    def size_of(self, disk: DiskKey) -> int:
        """Return a disk's size."""
        if disk not in self._sizes:
            raise Refused(f"disk {disk.disk} of machine {disk.machine} is not in this part")
        return self._sizes[disk]

    def absorb(self, disk: DiskKey, runs: list[Run]) -> None:
        """Take runs from a lane."""
        with self._guard:
            self._runs[disk] += runs

    def leave(self, _lane: Lane, builder: Builder | None) -> None:
        """Store a lane's last buffer."""
        if builder is not None:
            self.send(builder)
        with self._guard:
            self._open -= 1


class Stream:
    """One machine on one gateway process: an id, and a count. Thread-safe."""

    def __init__(self, stream_id: str) -> None:
        self.id = stream_id
        self._count = itertools.count()

    def next(self) -> int:
        """Return the next number."""
        return next(self._count)


class Gateway:
    """A gateway process: its uploads and its streams."""

    def __init__(self, access: Access, ids: Ids, name: str) -> None:
        self.access = access
        self.ids = ids
        self.uploads = Uploads(access.objects, access.sealer, threads=2, buffers=5)
        self._id = f"{names.check_group(name)}-{ids.random(8).hex()}"
        self._streams: dict[str, Stream] = {}
        self._guard = threading.Lock()
        self.turn = 0

    def part(self, key: PartKey, machine: MachineSpec) -> PartWriter:
        """Begin a machine's part of a cut, for the session that owns the log; one part at a time.

        The part before, if it was not published, never will be: so what failed of it is forgotten.
        """
        self.turn += 1
        self.uploads.forgive()
        return PartWriter(self, key, machine)

    def stream(self, machine: str) -> Stream:
        """Return a machine's stream."""
        with self._guard:
            if machine not in self._streams:
                self._streams[machine] = Stream(f"{self._id}-{tag_of(machine, '').hex()[:16]}")
            return self._streams[machine]

    def next_segment(self, key: PartKey, machine: str) -> Source:
        """Name a segment that was never named before."""
        stream = self.stream(machine)
        name = names.segment(key.group, f"{key.session}.{stream.id}", stream.next())
        return Source(name, self.ids.random(SALT_BYTES))

    def close(self) -> None:
        """End the upload threads."""
        self.uploads.close()


def waiting(access: Access, key: PartKey) -> Iterator[Part]:
    """Yield the parts announced for cut ``key.cut`` and, late, for cuts before it; oldest cut first."""
    prefix = f"{names.PARTS}{key.group}/{key.session}/"
    for info in access.objects.list(prefix):
        if int(info.name.split("/")[3]) <= key.cut:
            yield read_part(access, info.name)


def read_part(access: Access, name: str) -> Part:
    """Read and authenticate a part."""
    whole = access.whole(name, Kind.PART)
    fields = json.loads(whole.opened.payload)
    source = Source(name, whole.opened.salt)
    machine_id, machine_name, definition = fields["machine"]
    disks = tuple(DiskSpec(disk["id"], disk["size"]) for disk in fields["disks"])
    machine = MachineSpec(machine_id, machine_name, disks, definition)
    runs = {}
    for disk in fields["disks"]:
        key = DiskKey(machine.id, disk["id"])
        runs[key] = list(Page.unpack(access.frame(FrameRef(source, *disk["runs"]), tag_of(*key), 0)))
    return Part(
        name,
        digest_of(whole.data),
        fields["cut"],
        machine,
        fields["captured_at"],
        fields["stream"],
        fields["sealed_through"],
        runs,
    )
