"""Several gateways feed one group: their parts become points, each once, none out of turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from bascule.blocks.extents import Extent
from bascule.data.store import (
    BLOCK,
    DiskKey,
    DiskSpec,
    Gateway,
    GroupWriter,
    KeyFile,
    MachineSpec,
    PartKey,
    PartWriter,
    PointInfo,
    Vault,
)
from bascule.drivers.objects.memory import Crash, MemoryStore, SetClock
from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from tests.data.store.scene import GROUP, TINY, Change, block_of, disk_content, seeds

KEY = KeyFile(bytes(range(32)))
WEB, DB = DiskKey("web", "a"), DiskKey("db", "a")
BLOCKS = 8
EMPTY = bytes(BLOCKS * BLOCK)


def spec(disk: DiskKey) -> MachineSpec:
    return MachineSpec(disk.machine, disk.machine.upper(), (DiskSpec(disk.disk, BLOCKS * BLOCK),))


@dataclass
class Team:
    """The owner of a group's log, and what its machines' disks hold by the last part of each."""

    objects: MemoryStore = field(default_factory=MemoryStore)
    vault: Vault = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.objects.clock, SetClock)
        self.vault = Vault.init(self.objects, KEY, ids=seeds(), clock=self.objects.clock)

    def reopen(self, objects: MemoryStore) -> None:
        self.objects = objects
        assert isinstance(objects.clock, SetClock)
        self.vault = Vault.open(objects, KEY, ids=seeds(), clock=objects.clock)

    def owner(self) -> GroupWriter:
        return self.vault.begin(GROUP, writer="owner", tuning=TINY)

    @contextmanager
    def gateway(self, name: str) -> Iterator[Gateway]:
        gateway = self.vault.gateway(name)
        try:
            yield gateway
        finally:
            gateway.close()

    def content(self, number: int, disk: DiskKey) -> bytes:
        with self.vault.point(GROUP, number) as point:
            return disk_content(point, disk)

    def listed(self) -> list[PointInfo]:
        return list(self.vault.points(GROUP))

    def sweep(self) -> None:
        with self.vault.upkeep(writer="test") as upkeep:
            upkeep.sweep()
            upkeep.compact()
            upkeep.sweep()


def begin(gateway: Gateway, owner: GroupWriter, cut: int, disk: DiskKey) -> PartWriter:
    return gateway.part(PartKey(GROUP, owner.session, cut), spec(disk))


def write(part: PartWriter, disk: DiskKey, change: Change) -> None:
    lane = part.lane()
    for block, value in sorted(change.items()):
        if value:
            lane.write(disk, block * BLOCK, block_of(value))
        else:
            lane.erase(disk, Extent(block * BLOCK, BLOCK))
    lane.close()


def announce(gateway: Gateway, owner: GroupWriter, cut: int, disk: DiskKey, change: Change) -> str:
    part = begin(gateway, owner, cut, disk)
    write(part, disk, change)
    return part.publish(captured_at=1000.0 + cut)


def collect(owner: GroupWriter, cut: int) -> PointInfo:
    with owner.collect(cut, expected=["web", "db"]) as point:
        return point.publish()


def disk_of(change: Change, before: bytes = EMPTY) -> bytes:
    content = bytearray(before)
    for block, value in change.items():
        content[block * BLOCK : (block + 1) * BLOCK] = block_of(value) if value else bytes(BLOCK)
    return bytes(content)


def test_parts_of_two_gateways_become_one_point() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east, team.gateway("west") as west:
        names = [announce(east, owner, 1, WEB, {0: 1, 3: 2}), announce(west, owner, 1, DB, {1: 3})]
        info = collect(owner, 1)
    assert info.complete
    assert info.captured_at == 1001.0
    assert team.content(info.number, WEB) == disk_of({0: 1, 3: 2})
    assert team.content(info.number, DB) == disk_of({1: 3})
    named = team.vault.log(GROUP).read(info.number).entry.parts
    assert sorted(part.name for part in named) == sorted(names)
    assert not list(team.vault.verify(full=True))


def test_a_block_that_became_zero_at_a_gateway_is_gone() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east:
        announce(east, owner, 1, WEB, {0: 1, 1: 1})
        collect(owner, 1)
        announce(east, owner, 2, WEB, {0: 0})
        info = collect(owner, 2)
    assert team.content(info.number, WEB) == disk_of({1: 1})


def test_an_absent_machine_keeps_what_it_was_and_its_late_part_rolls_into_the_next_point() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east, team.gateway("west") as west:
        announce(east, owner, 1, WEB, {0: 1})
        announce(west, owner, 1, DB, {0: 1})
        collect(owner, 1)
        announce(east, owner, 2, WEB, {0: 2})
        alone = collect(owner, 2)
        announce(west, owner, 2, DB, {0: 2, 1: 2})
        announce(east, owner, 3, WEB, {0: 3})
        announce(west, owner, 3, DB, {0: 3})
        both = collect(owner, 3)
    assert not alone.complete
    assert team.content(alone.number, WEB) == disk_of({0: 2})
    assert team.content(alone.number, DB) == disk_of({0: 1})
    assert both.complete
    assert team.content(both.number, DB) == disk_of({0: 3, 1: 2})


def test_a_part_is_taken_in_once() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east:
        announce(east, owner, 1, WEB, {0: 1})
        collect(owner, 1)
        announce(east, owner, 2, WEB, {0: 2})
        collect(owner, 2)
        idle = collect(owner, 3)
    assert team.content(idle.number, WEB) == disk_of({0: 2})
    assert not team.vault.log(GROUP).read(idle.number).entry.parts


def test_a_gateway_that_slept_while_another_did_its_work_overwrites_nothing() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("asleep") as asleep, team.gateway("awake") as awake:
        announce(awake, owner, 1, WEB, {0: 1})
        collect(owner, 1)
        late = begin(asleep, owner, 2, WEB)
        write(late, WEB, {0: 2, 5: 2})
        announce(awake, owner, 3, WEB, {0: 3})
        collect(owner, 3)
        name = late.publish(captured_at=1002.0)
        info = collect(owner, 4)
        team.sweep()
    assert team.content(info.number, WEB) == disk_of({0: 3})
    assert name not in team.objects.names()


def test_parts_for_a_session_that_was_taken_over_are_never_used() -> None:
    team = Team()
    with team.owner() as old, team.gateway("east") as east:
        announce(east, old, 1, WEB, {0: 1})
        first = collect(old, 1)
        unused = announce(east, old, 2, WEB, {0: 2})
        with team.owner() as new:
            later = announce(east, old, 3, WEB, {0: 3})
            announce(east, new, 1, WEB, {1: 1})
            info = collect(new, 1)
            team.sweep()
    assert team.content(first.number, WEB) == disk_of({0: 1})
    assert team.content(info.number, WEB) == disk_of({0: 1, 1: 1})
    assert unused not in team.objects.names()
    assert later not in team.objects.names()
    assert not list(team.vault.verify(full=True))


def test_a_sweep_spares_what_gateways_announced_or_are_about_to() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east, team.gateway("west") as west:
        announce(east, owner, 1, WEB, {0: 1})
        collect(owner, 1)
        announced = announce(east, owner, 2, WEB, {0: 2})
        half = begin(west, owner, 2, DB)
        write(half, DB, {block: 40 + block for block in range(BLOCKS)})
        west.uploads.drain()
        team.sweep()
        assert announced in team.objects.names()
        half.publish(captured_at=1002.0)
        info = collect(owner, 2)
        team.sweep()
    assert team.content(info.number, WEB) == disk_of({0: 2})
    assert team.content(info.number, DB) == disk_of({block: 40 + block for block in range(BLOCKS)})
    assert not team.objects.names("parts/")
    assert not list(team.vault.verify(full=True))


def test_a_part_that_is_damaged_or_lies_elsewhere_is_noticed_and_no_point_appears() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east:
        mine = announce(east, owner, 1, WEB, {0: 1})
        other = announce(east, owner, 1, DB, {0: 1})
        whole = {name: team.objects.content(name) for name in (mine, other)}
        for at in range(len(whole[mine])):
            data = bytearray(whole[mine])
            data[at] ^= 1
            team.objects.tamper(mine, bytes(data))
            with pytest.raises(Damaged):
                owner.collect(1, expected=[])
        team.objects.tamper(mine, whole[other])
        with pytest.raises(Damaged):
            owner.collect(1, expected=[])
        assert not team.listed()
        team.objects.tamper(mine, whole[mine])
        info = collect(owner, 1)
    assert team.content(info.number, WEB) == disk_of({0: 1})


def test_a_part_is_announced_after_its_lanes_are_closed_and_speaks_of_its_own_disks() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east:
        part = begin(east, owner, 1, WEB)
        lane = part.lane()
        with pytest.raises(Refused, match="not in this part"):
            lane.write(DB, 0, block_of(1))
        with pytest.raises(Refused, match="still open"):
            part.publish(captured_at=0.0)
        lane.close()
        part.publish(captured_at=0.0)


def test_a_part_whose_upload_failed_is_never_announced_and_the_next_one_is_whole() -> None:
    team = Team()
    with team.owner() as owner, team.gateway("east") as east:
        failed = begin(east, owner, 1, WEB)
        team.objects.fail("create", prefix="segments/")
        write(failed, WEB, {0: 1})
        with pytest.raises(Unavailable):
            failed.publish(captured_at=1001.0)
        announce(east, owner, 1, WEB, {0: 2})
        with pytest.raises(Refused, match="begun another part"):
            failed.publish(captured_at=1001.0)
        info = collect(owner, 1)
    assert team.content(info.number, WEB) == disk_of({0: 2})


STEPS = ({WEB: {0: 1, 1: 1}, DB: {0: 1}}, {WEB: {1: 0, 2: 2}}, {WEB: {3: 3}, DB: {0: 3, 7: 3}})


def _three_points(team: Team) -> None:
    with team.owner() as owner, team.gateway("east") as east, team.gateway("west") as west:
        for cut, step in enumerate(STEPS, 1):
            for gateway, disk in ((east, WEB), (west, DB)):
                if disk in step:
                    announce(gateway, owner, cut, disk, step[disk])
            collect(owner, cut)
        team.sweep()


def _cuts() -> list[tuple[int, str]]:
    """Before each put and delete there is, and after each that takes effect."""
    team = Team()
    before = len(team.objects.journal)
    _three_points(team)
    done = [op.done for op in team.objects.journal[before:] if op.verb in ("create", "delete")]
    return [
        (at, when) for at, did in enumerate(done, 1) for when in (("before", "after") if did else ("before",))
    ]


@pytest.mark.parametrize(("at", "when"), _cuts())
def test_a_power_cut_at_any_put_or_delete_leaves_whole_points_and_nothing_else(at: int, when: str) -> None:
    team = Team()
    team.objects.crash(at=at, when=when)
    with pytest.raises(Crash):
        _three_points(team)
    team.reopen(team.objects.survivor())
    contents = {WEB: EMPTY, DB: EMPTY}
    for info, step in zip(team.listed() if _exists(team) else [], STEPS, strict=False):
        contents = {disk: disk_of(step.get(disk, {}), content) for disk, content in contents.items()}
        for disk in (d for d in contents if d.machine in {m.id for m in info.machines}):
            assert team.content(info.number, disk) == contents[disk]
    with team.owner() as owner, team.gateway("east") as east:
        announce(east, owner, 1, WEB, {6: 9})
        info = collect(owner, 1)
    team.sweep()
    assert team.content(info.number, WEB) == disk_of({6: 9}, contents[WEB])
    assert not team.objects.names("parts/")
    assert not list(team.vault.verify(full=True))


def _exists(team: Team) -> bool:
    try:
        return team.vault.log(GROUP).head() is not None
    except Missing:
        return False
