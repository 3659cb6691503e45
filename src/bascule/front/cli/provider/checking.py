"""Prerequisites of a replication, each named with its cure (R-P-2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bascule.front.cli.tools import Tools
from bascule.front.cli.words.quantities import bytes_text
from bascule.front.cli.words.unlocking import KeyOptions, opened
from bascule.model.errors import BasculeError, Fenced, Missing, Off, Refused
from bascule.model.items import Wish
from bascule.model.policies import OFF
from bascule.replication.provider.folder import ItemFolder

# What a machine may overwrite while its disks are copied for the first time, as a part of them.
_ROOM_PART = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """A prerequisite and whether it is met; ``stops`` if nothing can begin without it."""

    rule: str
    is_met: bool
    message: str
    cure: str = ""
    stops: bool = True


@dataclass(slots=True)
class Found:
    """What a check found, and whose session the group's newest entry is of."""

    group: str
    findings: list[Finding] = field(default_factory=list)
    head: str = ""
    called: tuple[str, ...] = ()

    def add(self, finding: Finding) -> None:
        """Take one more finding."""
        self.findings.append(finding)

    def refuse(self) -> None:
        """Raise the first that stops, if there is one."""
        for one in self.findings:
            if not one.is_met and one.stops:
                raise Refused(f"group {self.group}, {one.rule}: {one.message}", cure=one.cure, code=one.rule)


def complaints(tools: Tools, item: ItemFolder, wish: Wish, *, is_new: bool, take_over: bool = False) -> Found:
    """Look at the store, the group and, while no provider holds them, the machines."""
    from bascule.replication.provider.item import places

    found = Found(wish.group)
    _look_at_store(tools, item, wish, found, take_over)
    if is_new:
        for _, words, room in places(wish, item):
            _look_at_machine(tools, room, words, found, wish)
            _look_at_host(tools, words, found)
            if wish.policy.app_consistent_seconds and wish.policy.agent != OFF:
                found.add(_of_agent(tools, room, words, wish.policy.agent))
    return found


def _look_at_store(tools: Tools, item: ItemFolder, wish: Wish, found: Found, take_over: bool) -> None:
    from bascule.replication.provider.item import called_at
    from bascule.replication.provider.owner import Owner

    try:
        with opened(tools, wish.store, KeyOptions(Path(wish.key_file))) as (vault, _):
            head = vault.log(wish.group).head()
            found.add(Finding("store", True, f"{wish.store} opens with {wish.key_file}"))
            if head is not None:
                found.head = head.entry.session
                with suppress(Missing), vault.peek(wish.group) as newest:
                    found.called = called_at(newest.info, wish.machines)
                owner = Owner(item.owner, wish.cluster)
                if not take_over and not owner.is_mate(head.entry):
                    owner.check(head.entry)
            found.add(Finding("group", True, f"{wish.group} is free, or this provider's"))
    except Fenced as error:
        cure = "see that nobody needs it to go on, then say --take-over; or choose another --group"
        found.add(Finding("group", False, error.message, cure))
    except BasculeError as error:
        found.add(Finding("store", False, error.message, error.cure))


def _look_at_machine(tools: Tools, room: Path, words: str, found: Found, wish: Wish) -> None:
    from bascule.replication.provider.workshop import free_in

    try:
        with closing(tools.adopt(words, room)) as machine:
            disks = machine.recorded({})
    except Off as error:
        found.add(Finding("machine", False, error.message, error.cure, stops=False))
        return
    except BasculeError as error:
        found.add(Finding("machine", False, error.message, error.cure))
        return
    absent = sorted({name.rpartition("/")[2] for name in wish.include} - set(disks))
    if absent and len(wish.machines) == 1:
        what = f"{words} has no disk {', '.join(absent)[:300]}"
        found.add(Finding("disks", False, what, f"it has {', '.join(sorted(disks))[:300]}"))
    size = sum(disk.size_bytes for disk in disks.values())
    found.add(Finding("machine", True, f"{words} runs, with {len(disks)} disks of {bytes_text(size)}"))
    free = free_in(room)
    need = int(size * _ROOM_PART)
    what = f"{bytes_text(free)} are free in {room}, about {bytes_text(need)} may be needed"
    found.add(Finding("room", free >= need, what, "make room, or put the provider's folder elsewhere", False))


def _look_at_host(tools: Tools, words: str, found: Found) -> None:
    """See whether the machine would start by itself on a side that it left; replication goes on then too."""
    host, is_named, name = words.partition("#")
    if not is_named:
        return
    with suppress(BasculeError):  # said of the machine already
        if tools.open_hypervisor(host).starts_unasked(name):
            what = f"{name} starts when its host boots, be it on another side by then or not"
            cure = f"`bascule machine guard --host '{host}'`, or `virsh autostart --disable {name}`"
            found.add(Finding("start", False, what, cure, stops=False))


def _of_agent(tools: Tools, room: Path, words: str, which: str) -> Finding:
    """Ask the guest's agent whether it is there; without it points are made too, so it stops nothing."""
    agent = tools.agent(words, room, which)
    if agent is None:
        cure = "name the socket of its channel: --agent SOCKET; or freeze by --before, with --agent off"
        return Finding("agent", False, f"nobody but its host speaks to the guest of {words}", cure, False)
    with closing(agent):
        try:
            agent.is_frozen()
        except BasculeError as error:
            return Finding("agent", False, error.message, error.cure, stops=False)
    return Finding("agent", True, f"the guest agent of {words} answers")


def found_lines(found: Found) -> Iterator[str]:
    """Yield a line for each finding."""
    for one in found.findings:
        yield f"{'ok     ' if one.is_met else 'missing'}  {one.rule}: {one.message}"
        if not one.is_met and one.cure:
            yield f"         what to do: {one.cure}"
