"""Everything that can happen to bytes at rest happens to a small vault: none of it yields a wrong byte.

A reading that does not touch a byte cannot be changed by it. So for each byte, changed, exactly the
readings that touch it are repeated; bytes that no reading touches are left to a full verification.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest

from bascule.data.store import BLOCK, DiskKey, KeyFile, PointReader, Shape, Tuning, Vault, access
from bascule.data.store.format.container import HEADER, Kind
from bascule.data.store.upkeep.verify import Finding
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Missing, Refused
from tests.data.store.scene import GROUP, KEY, Scene, SeededIds, by_batches, disk_content, seeds

A, B = DiskKey("web", "a"), DiskKey("db", "b")
DISKS = {A: 6 * BLOCK + 100, B: BLOCK}
SMALL = Tuning(upload_threads=1, buffers=3, inline_bytes=400, shape=Shape(2, 2, 8))
OTHER_KEY = KeyFile(b"o" * 32)
SHARES = 40

Hurt = set[tuple[int, DiskKey, int]]
"""Blocks of disks of points that cannot be read."""


class Ledger(MemoryStore):
    """A store that notes which bytes of which object are read."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: dict[str, set[int]] = defaultdict(set)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        count = super().read(name, offset, buffer)
        self.touched[name].update(range(offset, offset + count))
        return count


@dataclass
class Vaulted:
    """A vault with a bit of everything, and who reads which of its bytes."""

    scene: Scene
    points: list[int]
    readers: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return self.scene.objects.names()

    def bytes_of(self, name: str) -> bytes:
        return self.scene.objects.content(name)

    def store_with(self, changes: dict[str, bytes | None]) -> MemoryStore:
        """A copy of the store in which some objects are others, or lost."""
        store = self.scene.objects.survivor()
        for name, data in changes.items():
            store.tamper(name, data)
        return store

    def open(self, store: MemoryStore) -> Vault:
        return Vault.open(store, KEY, ids=SeededIds(9), clock=self.scene.clock)


def _history(scene: Scene) -> Scene:
    """Layers of several pages, points whose data rides inside, erased blocks, moves, take-overs, two keys."""
    with scene.writer() as writer:
        scene.point(writer, {A: {i: i + 100 for i in range(7)}, B: {0: 1}})
        scene.point(writer, {A: {1: 1, 3: 3, 5: 5}})
        scene.point(writer, {A: {i: i + 10 for i in range(3)}})
        scene.point(writer, {A: {0: 33}, B: {0: 5}})
        scene.point(writer, {A: {2: 0, 6: 3}})
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.remove(GROUP, [1, 3])
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
    scene.vault.add_key(KEY, OTHER_KEY)
    return scene


@cache
def vaulted() -> Vaulted:
    scene = _history(Scene(objects=Ledger(), tuning=SMALL, disks=dict(DISKS)).init())
    made = Vaulted(scene, scene.listed())
    assert isinstance(scene.objects, Ledger)
    with pytest.MonkeyPatch.context() as patched:
        # An index is read together with what lies before it; what is not looked at there does not count.
        patched.setattr(access, "_TAIL_BYTES", 0)
        for number in made.points:
            scene.objects.touched.clear()
            read_point(made, scene.vault, number)
            for name, places in scene.objects.touched.items():
                for place in places:
                    made.readers.setdefault((name, place), []).append(number)
    return made


def read_point(made: Vaulted, vault: Vault, number: int) -> None:
    """Read all of a point, contents and digests; what comes back is right, or the test fails."""
    digest = vault.access.sealer.digester()
    with vault.peek(GROUP, number) as point:
        for disk, content in made.scene.points[number].items():
            assert disk_content(point, disk) == content
            for extent, found in point.disk(disk).digests():
                held = content[extent.offset : extent.end]
                assert found == (digest(held) if any(held) else b"")


def hurt(made: Vaulted, vault: Vault) -> Hurt:
    """What cannot be read of the points there were; what can be read is right."""
    found: Hurt = set()
    for number in made.points:
        contents = made.scene.points[number]
        try:
            point = vault.peek(GROUP, number)
        except (Damaged, Missing):
            found |= whole(made, number)
            continue
        for disk, content in contents.items():
            found |= {(number, disk, block) for block in _unreadable(point, disk, content)}
    return found


def whole(made: Vaulted, number: int) -> Hurt:
    sizes = {disk: len(content) for disk, content in made.scene.points[number].items()}
    return {(number, disk, block) for disk, size in sizes.items() for block in range(-(-size // BLOCK))}


def _unreadable(point: PointReader, disk: DiskKey, content: bytes) -> Iterator[int]:
    """Blocks that cannot be read one by one. Reading them all at once fails if any does."""
    bad = []
    for offset in range(0, len(content), BLOCK):
        expected = content[offset : offset + BLOCK]
        buffer = bytearray(len(expected))
        try:
            point.disk(disk).read_into(offset, memoryview(buffer))
        except Damaged:
            bad.append(offset // BLOCK)
        else:
            assert buffer == expected
    for way in (disk_content, by_batches):
        try:
            assert way(point, disk) == content
            assert not bad
        except Damaged:
            assert bad
    yield from bad


def named(made: Vaulted, findings: Iterable[Finding]) -> Hurt:
    """What findings say is hurt."""
    found: Hurt = set()
    for finding in findings:
        if finding.point in made.points and finding.disk is None:
            found |= whole(made, finding.point)
        elif finding.point in made.points and finding.disk is not None:
            for extent in finding.ranges:
                blocks = range(extent.offset // BLOCK, -(-extent.end // BLOCK))
                found |= {(finding.point, finding.disk, block) for block in blocks}
    return found


def flipped(data: bytes, at: int, mask: int = 0x01) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def is_sealed(name: str) -> bool:
    return name != "format" and not name.startswith("keys/")


def test_the_vault_has_a_bit_of_everything() -> None:
    made = vaulted()
    kinds = {name.split("/")[0] for name in made.names}
    assert kinds == {"format", "keys", "points", "segments", "moved", "upkeep"}
    assert any(name.startswith("segments/~upkeep/") for name in made.names)
    log = made.scene.vault.log(GROUP)
    disks = [d for n in made.points for m in log.read(n).entry.machines for d in m.disks]
    assert any(d.inline for d in disks)
    assert any(len(d.layers) >= 2 for d in disks)
    assert len(log.read(made.points[0]).entry.machines) == 2
    for name in made.names:
        if name.startswith("segments/"):
            assert any(at == name for at, _ in made.readers), f"{name} is there for no reader"
    assert not list(made.scene.vault.verify(full=True))


@pytest.mark.parametrize("share", range(SHARES))
def test_no_changed_byte_is_ever_read_as_a_right_one(share: int) -> None:
    made = vaulted()
    for name, at in _places(made, share):
        readers = made.readers.get((name, at), [])
        # All points that show a byte read it in the same way; they take turns.
        for number in readers[at % len(readers) :][:1] if readers else ():
            _read_changed(made, name, flipped(made.bytes_of(name), at), number)


@pytest.mark.long
@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80, 0xFF])
@pytest.mark.parametrize("share", range(SHARES))
def test_no_byte_changed_in_any_way_is_read_as_a_right_one_by_any_point(share: int, mask: int) -> None:
    made = vaulted()
    for name, at in _places(made, share):
        for number in made.readers.get((name, at), []):
            _read_changed(made, name, flipped(made.bytes_of(name), at, mask), number)


def _places(made: Vaulted, share: int) -> Iterator[tuple[str, int]]:
    """Every ``SHARES``-th byte of every sealed object."""
    for name in made.names:
        if is_sealed(name):
            yield from ((name, at) for at in range(share, len(made.bytes_of(name)), SHARES))


def _read_changed(made: Vaulted, name: str, data: bytes, number: int) -> None:
    vault = made.open(made.store_with({name: data}))
    if name.startswith("upkeep/"):
        read_point(made, vault, number)  # housekeeping that is damaged keeps nobody from reading
        return
    with pytest.raises(Damaged):
        read_point(made, vault, number)


@pytest.mark.parametrize("share", range(SHARES))
def test_a_full_verification_finds_every_changed_byte_that_no_reading_touches(share: int) -> None:
    made = vaulted()
    unneeded = _unneeded(made)
    for name, at in _places(made, share):
        if (name, at) in made.readers or (name, at) in unneeded:
            continue
        vault = made.open(made.store_with({name: flipped(made.bytes_of(name), at)}))
        assert list(vault.verify(full=True)), f"byte {at} of {name}"


def _unneeded(made: Vaulted) -> set[tuple[str, int]]:
    """Bytes of frames that nobody shows any more, and of states of upkeep that are not the newest."""
    vault = made.open(made.store_with({}))
    with vault.upkeep(writer="test") as upkeep:
        marks = upkeep._survey().marks
    found = {
        (name, at)
        for name in made.names
        if name.startswith("segments/")
        for number, line in enumerate(vault.access.index(name, Kind.SEGMENT).frames)
        if number not in marks.numbers(name)
        for at in range(line.at, line.at + line.sealed)
    }
    _, *old = [name for name in made.names if name.startswith("upkeep/")]
    return found | {(name, at) for name in old for at in range(len(made.bytes_of(name)))}


def test_few_bytes_are_not_needed_by_anybody() -> None:
    made = vaulted()
    sizes = [len(made.bytes_of(name)) for name in made.names]
    assert len(_unneeded(made)) < sum(sizes) / 8


@pytest.mark.lab
def test_every_finding_about_a_changed_byte_names_exactly_the_blocks_it_hurts() -> None:
    made = vaulted()
    for name, at in _one_place_of_each_part(made):
        vault = made.open(made.store_with({name: flipped(made.bytes_of(name), at)}))
        assert named(made, vault.verify(full=True)) == hurt(made, vault), f"byte {at} of {name}"


def _one_place_of_each_part(made: Vaulted) -> Iterator[tuple[str, int]]:
    """A byte of every frame of every object, and of its payload, its index, its header and its footer."""
    for name in made.names:
        if not is_sealed(name) or name.startswith("upkeep/"):
            continue
        data = made.bytes_of(name)
        kind = Kind(data[8])
        opened = made.scene.vault.access.index(name, kind)
        head = max((line.at + line.sealed for line in opened.frames), default=HEADER.size)
        yield from ((name, line.at + line.sealed // 2) for line in opened.frames)
        yield from ((name, at) for at in (3, 8, 20, 50, head, len(data) - 40, len(data) - 3))


@pytest.mark.parametrize("full", [False, True], ids=["cheap", "full"])
def test_each_lost_object_is_found_with_exactly_the_blocks_it_hurts(full: bool) -> None:
    made = vaulted()
    newest = next(name for name in made.names if name.startswith(f"points/{GROUP}/"))
    for name in made.names:
        if not is_sealed(name):
            continue
        vault = made.open(made.store_with({name: None}))
        lost = hurt(made, vault)
        findings = list(vault.verify(full=full))
        if name == newest:
            # A store without its newest entry is one that never had it: only who remembers can tell.
            assert not findings
            continue
        assert named(made, findings) == lost, name
        assert bool(lost) <= bool(findings)
        if name.startswith(("segments/", "points/")):
            assert any(name in finding.what or "is lost" in finding.what for finding in findings), name


@pytest.mark.lab
def test_each_object_cut_short_is_found_and_never_read_as_a_whole_one() -> None:
    made = vaulted()
    for name in made.names:
        data = made.bytes_of(name)
        for length in {0, 1, 63, 64, len(data) // 2, len(data) - 33, len(data) - 1}:
            vault = _opened(made, {name: data[:length]})
            if vault is None:
                continue
            lost = hurt(made, vault)
            assert named(made, vault.verify(full=True)) == lost, f"{length} bytes of {name}"
            if name.startswith("segments/"):
                # Short of its index alone an object still gives back every frame.
                assert named(made, vault.verify()) == lost


def test_each_object_that_grew_is_found_and_never_read_wrongly() -> None:
    made = vaulted()
    for name in made.names:
        if not is_sealed(name):
            continue
        data = made.bytes_of(name)
        for more in (b"\0", data[-32:], data):
            vault = made.open(made.store_with({name: data + more}))
            assert named(made, vault.verify(full=True)) >= hurt(made, vault), name
            if name not in _old_states(made):
                assert list(vault.verify(full=True)), name


def _head(made: Vaulted) -> str:
    """The newest entry of the upkeep log, which the next session replaces by its own."""
    return next(name for name in made.names if name.startswith("upkeep/"))


def _old_states(made: Vaulted) -> list[str]:
    return [name for name in made.names if name.startswith("upkeep/")][1:]


def _opened(made: Vaulted, changes: dict[str, bytes | None]) -> Vault | None:
    """The vault with some objects changed, or None if it says that it cannot be opened."""
    try:
        return made.open(made.store_with(changes))
    except (Damaged, Refused):
        return None


def test_any_two_objects_of_a_kind_that_changed_places_are_noticed() -> None:
    made = vaulted()
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name in made.names:
        by_kind[name.split("/")[0]].append(name)
    for names in by_kind.values():
        for one, two in itertools.combinations(names, 2):
            vault = made.open(made.store_with({one: made.bytes_of(two), two: made.bytes_of(one)}))
            lost = hurt(made, vault)
            findings = list(vault.verify(full=True))
            assert findings
            if not one.startswith(("upkeep/", "keys/")):
                assert named(made, findings) == lost
                assert lost


def test_an_object_under_the_name_of_another_kind_is_noticed() -> None:
    made = vaulted()
    one_of_each = {name.split("/")[0]: name for name in made.names}
    for name in filter(is_sealed, made.names):
        for kind, other in one_of_each.items():
            if kind == name.split("/")[0]:
                continue
            vault = made.open(made.store_with({name: made.bytes_of(other)}))
            assert named(made, vault.verify(full=True)) == hurt(made, vault)


def test_an_object_of_another_vault_is_noticed() -> None:
    made = vaulted()
    foreign = _history(Scene(tuning=SMALL, disks=dict(DISKS)).init()).objects
    theirs = {name.split("/")[0]: foreign.content(name) for name in foreign.names()}
    for name in made.names:
        kind = name.split("/")[0]
        vault = _opened(made, {name: theirs[kind]})
        if vault is None:
            assert kind in ("format", "keys")
            continue
        assert named(made, vault.verify(full=True)) == hurt(made, vault), name
        if kind not in ("keys", "upkeep"):
            assert list(vault.verify(full=True)), name


def test_an_entry_of_another_history_of_the_same_vault_is_found_by_verification() -> None:
    """Somebody brings a bucket back as it was, goes on, and one object of that branch comes into this one."""
    worlds = []
    base = Scene(tuning=SMALL, disks=dict(DISKS)).init()
    with base.writer() as writer:
        base.point(writer, {A: {0: 1}})
    for value in (2, 3):
        world = Scene(objects=base.objects.survivor(), tuning=SMALL, disks=dict(DISKS), now=dict(base.now))
        world.reopen()
        with world.writer() as writer:
            world.point(writer, {A: {0: value}})
            world.point(writer, {A: {1: value}})
        worlds.append(world)
    mine, theirs = worlds
    for name in theirs.objects.names(f"points/{GROUP}/")[1:3]:
        world = Scene(objects=mine.objects.survivor(), tuning=SMALL, disks=dict(DISKS))
        world.objects.tamper(name, theirs.objects.content(name))
        findings = list(world.reopen().verify())
        assert any("another history" in finding.what for finding in findings), name


def test_a_key_that_is_damaged_keeps_nobody_out_who_has_another() -> None:
    made = vaulted()
    mine, theirs = sorted(
        (n for n in made.names if n.startswith("keys/")), key=lambda n: not _opens(made, {n: None}, OTHER_KEY)
    )
    for broken, held in ((mine, OTHER_KEY), (theirs, KEY)):
        for data in (None, b"", b"{}", made.bytes_of(broken)[:-9], flipped(made.bytes_of(broken), 200)):
            assert _opens(made, {broken: data}, held)
            assert not _opens(made, {broken: data}, KEY if held is OTHER_KEY else OTHER_KEY)
    vault = made.open(made.store_with({theirs: b"rubbish"}))
    assert any("key object" in finding.what for finding in vault.verify())


def _opens(made: Vaulted, changes: dict[str, bytes | None], key: KeyFile) -> bool:
    try:
        Vault.open(made.store_with(changes), key, ids=seeds(), clock=made.scene.clock)
    except (Damaged, Refused):
        return False
    return True


Act = Callable[[Vault], object]


def _sweeps(vault: Vault) -> object:
    with vault.upkeep(writer="test") as upkeep:
        return upkeep.sweep()


def _compacts(vault: Vault) -> object:
    with vault.upkeep(writer="test") as upkeep:
        return upkeep.compact()


@pytest.mark.parametrize("act", [_sweeps, _compacts])
def test_a_damaged_map_or_log_stops_upkeep_and_nothing_is_deleted(act: Act) -> None:
    made = vaulted()
    for name, data in _blind_spots(made):
        store = made.store_with({name: data})
        before = store.names()
        with pytest.raises(Damaged):
            act(made.open(store))
        assert [n for n in before if n not in store.names()] in ([], [_head(made)]), name


def _blind_spots(made: Vaulted) -> Iterator[tuple[str, bytes | None]]:
    """Each object whose loss or damage hides what is alive: maps, entries, moved tables, the upkeep log."""
    entries = [name for name in made.names if name.startswith("points/")]
    for name in entries:
        yield name, flipped(made.bytes_of(name), len(made.bytes_of(name)) - 60)
    yield from ((name, None) for name in entries[1:])
    for name in made.names:
        if name.startswith("moved/") and any(at == name for at, _ in made.readers):
            yield name, flipped(made.bytes_of(name), 70)
    yield _head(made), flipped(made.bytes_of(_head(made)), 70)
    yield from _damaged_map_frames(made)


def _damaged_map_frames(made: Vaulted) -> Iterator[tuple[str, bytes | None]]:
    access = made.scene.vault.access
    for number in made.points:
        for machine in made.scene.vault.log(GROUP).read(number).entry.machines:
            for disk in machine.disks:
                for frame in (disk.inline, *(layer.index for layer in disk.layers)):
                    if frame is not None:
                        now = access.locate(frame)
                        yield now.source.name, flipped(made.bytes_of(now.source.name), now.at + 5)


def test_a_lost_entry_can_be_given_up_and_then_upkeep_goes_on() -> None:
    made = vaulted()
    for number in made.points[:-1]:
        name = next(n for n in made.names if n.endswith(f".{number}") and n.startswith("points/"))
        for data in (None, flipped(made.bytes_of(name), len(made.bytes_of(name)) - 50)):
            vault = made.open(made.store_with({name: data}))
            before = {place for place in hurt(made, vault) if place[0] != number}
            with vault.upkeep(writer="test") as upkeep:
                assert upkeep.remove(GROUP, [number]) == [number]
                upkeep.sweep()
                upkeep.compact()
                upkeep.sweep()
            findings = list(vault.verify(full=True))
            assert not [finding for finding in findings if "log entry" in finding.what]
            # Data of other points that rode in the lost entry is not brought back, and no more is lost.
            assert named(made, findings) == before
