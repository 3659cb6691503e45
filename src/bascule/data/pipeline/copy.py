"""Copy disks, frozen at one instant, into one recovery point.

Order is the whole design: data first, then the point, in one step over all disks
of all machines. Whatever ends a copy early leaves frames that no point names; the
next session adopts those that still match the source, so what is durable is not
sent twice (R-R-10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bascule.blocks.cut import UNIT
from bascule.blocks.extents import total
from bascule.data.store import Cut, DiskKey, GroupWriter, MachineSpec, PointInfo
from bascule.model.errors import Refused
from bascule.ports.disks import DiskSource

from .durable import Leftovers
from .flow.conduct import Conduct
from .pump import Worker, pump
from .sender import Sender
from .units import Task, plan, readers_for, workers_for


@dataclass(frozen=True, slots=True)
class Capture:
    """What is to become a point: machines, a frozen source for each of their disks, and when they froze.

    Machines of the group that are ``absent`` stay what they were at the newest point. ``let_go`` is
    called when the sources have been read to their ends, before what was read is published.
    """

    machines: Sequence[MachineSpec]
    sources: Mapping[DiskKey, DiskSource]
    captured_at: float
    consistency: str = "crash"
    absent: tuple[str, ...] = ()
    let_go: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did. ``lost_bytes`` were durable before it began and did not match the source any more."""

    point: PointInfo
    read_bytes: int
    sent_bytes: int
    adopted_bytes: int
    lost_bytes: int
    erased_bytes: int
    stored_bytes: int


def copy(writer: GroupWriter, capture: Capture, conduct: Conduct) -> Copied:
    """Copy every disk of ``capture`` and publish the point, or raise and leave none.

    Unavailable out of the very last step leaves the outcome unknown: ask the group for its newest point.
    """
    return send(writer, capture, tasks_of(writer, capture), conduct, lambda sender: sender)


def send(
    writer: GroupWriter,
    capture: Capture,
    tasks: Sequence[Task],
    conduct: Conduct,
    worker_of: Callable[[Sender], Worker],
) -> Copied:
    """Let workers send what they choose to of every unit, then publish."""
    read_bytes = sum(total(task.reads()) for task in tasks)
    conduct.meter.expect(read_bytes)

    with ExitStack() as undo:
        cut = writer.cut(
            capture.machines,
            consistency=capture.consistency,
            captured_at=capture.captured_at,
            absent=capture.absent,
        )
        undo.callback(cut.abandon)
        # A lane per worker, but no more than there are units: a small delta is one small object. Each lane
        # holds a buffer of the session, of which two stay free: one to be stored, one for the map.
        most = min(workers_for(tasks, conduct.workers), writer.tuning.buffers - 2, -(-read_bytes // UNIT))
        senders = _senders(cut, most, conduct)
        workers = [worker_of(sender) for sender in senders]
        pump(plan(tasks, read_bytes), workers, conduct, readers_for(tasks, read_bytes))
        conduct.cancel.check()
        capture.let_go()
        point = cut.publish()
        undo.pop_all()

    conduct.meter.finish()
    return _report(point, read_bytes, tasks, senders)


def tasks_of(writer: GroupWriter, capture: Capture) -> list[Task]:
    """Pair disks with their sources, and refuse what cannot become a point."""
    sizes = {DiskKey(m.id, disk.id): disk.size_bytes for m in capture.machines for disk in m.disks}
    if odd := sizes.keys() ^ capture.sources.keys():
        disk = min(odd)
        raise Refused(f"disk {disk.disk} of {disk.machine} is named without a source, or a source without it")
    return [_task(writer, key, capture.sources[key], size) for key, size in sizes.items()]


def _task(writer: GroupWriter, key: DiskKey, source: DiskSource, size: int) -> Task:
    if source.size_bytes != size:
        raise Refused(f"disk {key.disk} of machine {key.machine} has {source.size_bytes} bytes, not {size}")
    is_known = writer.disk_size(key) is not None
    if source.is_delta and not is_known:
        raise Refused(
            f"group {writer.group} has no point with disk {key.disk} of machine {key.machine} to change",
            cure="copy the whole disk first",
        )
    return Task(key, source, is_known, Leftovers(lambda: writer.durable(key)))


def _senders(cut: Cut, most: int, conduct: Conduct) -> list[Sender]:
    return [Sender(cut.lane(), cut.digest, conduct) for _ in range(max(most, 1))]


def _report(point: PointInfo, read_bytes: int, tasks: Sequence[Task], senders: Sequence[Sender]) -> Copied:
    tallies = [sender.tally for sender in senders]
    adopted = sum(tally.adopted for tally in tallies)
    return Copied(
        point=point,
        read_bytes=read_bytes,
        sent_bytes=sum(tally.sent for tally in tallies),
        adopted_bytes=adopted,
        lost_bytes=sum(task.leftovers.bytes for task in tasks) - adopted,
        erased_bytes=sum(tally.erased for tally in tallies),
        stored_bytes=sum(tally.stored for tally in tallies),
    )
