"""Points: what is written is read, at every point, however maps are layered."""

from __future__ import annotations

import pytest

from bascule.data.store import BLOCK, DiskKey, KeyFile, Passphrase, Tuning, Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Fenced, Missing, Refused, Unavailable
from tests.data.store.scene import GROUP, KEY, Scene, block_of, disk_content, seeds

A, B, C = DiskKey("web", "a"), DiskKey("web", "b"), DiskKey("db", "a")


def test_every_point_keeps_what_it_held_when_later_ones_overwrite_and_erase() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        for i in range(1, 40):
            scene.point(writer, {i * 7 % 13: i, i * 5 % 13: 0 if i % 3 else i + 100, i * 11 % 13: i})
    scene.reopen()
    scene.check()
    assert len(scene.listed()) == 39


def test_a_point_is_one_instant_of_all_disks_of_all_machines() -> None:
    scene = Scene(disks={A: 4 * BLOCK, B: 4 * BLOCK, C: 8 * BLOCK}).init()
    with scene.writer() as writer:
        scene.point(writer, {A: {0: 1}, B: {1: 2}, C: {7: 3}})
        scene.point(writer, {C: {7: 0, 0: 9}})
    scene.check()
    point = scene.vault.points(GROUP)[0]
    assert [(m.name, [d.id for d in m.disks]) for m in point.machines] == [("WEB", ["a", "b"]), ("DB", ["a"])]
    assert [d.changed_bytes for m in point.machines for d in m.disks] == [BLOCK] * 3


def test_a_block_that_became_zero_is_gone() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        scene.point(writer, {3: 5, 4: 5})
        scene.point(writer, {3: 0})
    with scene.vault.point(GROUP) as point:
        extents = [(e.offset // BLOCK, e.length // BLOCK) for e, data in point.disk(A).extents() if data]
    assert extents == [(4, 1)]


def test_zeroes_cost_nothing() -> None:
    scene = Scene(disks={A: 1 << 40}, now={}, points={})
    scene.vault = Vault.init(scene.objects, KEY, ids=seeds(), clock=scene.clock)
    with scene.writer() as writer, writer.cut(scene.machines()) as cut:
        lane = cut.lane()
        lane.write(A, 1 << 39, block_of(7))
        lane.close()
        cut.publish()
    stored = sum(info.size for info in scene.objects.list(""))
    assert stored < 5000
    with scene.vault.point(GROUP) as point:
        assert [e.length for e, data in point.disk(A).extents() if data] == [BLOCK]


@pytest.mark.parametrize("end", [5 * BLOCK, 5 * BLOCK + 1000, 13 * BLOCK + 5])
def test_a_disk_that_shrank_and_grew_again_shows_zeroes_where_it_was_cut(end: int) -> None:
    scene = Scene().init()
    size = scene.disks[A]
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1 for i in range(12)})
        scene.resize(A, end)
        scene.point(writer, {0: 77})
        scene.resize(A, size + 3 * BLOCK)
        scene.point(writer, {1: 78})
    scene.check()


def test_a_shrunk_disk_keeps_what_the_same_cut_wrote_at_its_edge() -> None:
    scene = Scene(tuning=Tuning()).init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1 for i in range(12)})
        scene.resize(A, 5 * BLOCK + 1000)
        scene.point(writer, {5: 99})
        scene.resize(A, 9 * BLOCK)
        scene.point(writer, {})
    scene.check()


def test_a_small_delta_rides_in_its_entry_and_costs_one_put() -> None:
    scene = Scene(tuning=Tuning()).init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1 for i in range(12)})
        before = len(scene.objects.journal)
        scene.point(writer, {3: 9})
        puts = [op.name for op in scene.objects.journal[before:] if op.verb == "create"]
    assert len(puts) == 1
    assert puts[0].startswith("points/")
    scene.check()


def test_a_second_writer_fences_the_first_for_good() -> None:
    scene = Scene().init()
    with scene.writer() as old:
        scene.point(old, {0: 1})
        with scene.writer() as new:
            with pytest.raises(Fenced, match="took over"):
                scene.point(old, {0: 2})
            with pytest.raises(Fenced):
                old.cut(scene.machines())
            scene.point(new, {0: 3})
    scene.check()
    assert len(scene.listed()) == 2


def test_an_abandoned_cut_leaves_no_point_and_the_next_one_starts_clean() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        scene.point(writer, {0: 1})
        with writer.cut(scene.machines()) as cut:
            lane = cut.lane()
            lane.write(A, 0, block_of(50))
            lane.close()
        scene.point(writer, {1: 2})
    scene.check()


def test_a_lane_refuses_what_does_not_fit_its_disk() -> None:
    scene = Scene().init()
    with scene.writer() as writer, writer.cut(scene.machines()) as cut:
        lane = cut.lane()
        for offset, length in [(1, 10), (0, 100), (12 * BLOCK, 200), (0, 2 << 20), (0, 0)]:
            with pytest.raises(Refused, match=r"does not fit|ends inside a block"):
                lane.write(A, offset, bytes([1]) * length)
        with pytest.raises(Refused, match="not in this cut"):
            lane.write(C, 0, block_of(1))
        with pytest.raises(Refused, match="still open"):
            cut.publish()


def test_a_branch_shares_its_base_and_goes_its_own_way() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        scene.point(writer, {0: 1, 1: 1})
        scene.point(writer, {0: 2})
    base = scene.listed()[0]
    orphan = scene.vault.branch((GROUP, base), f"{GROUP}~orphan-1", writer="old primary")
    with orphan, orphan.cut(scene.machines()) as cut:
        lane = cut.lane()
        lane.write(A, 2 * BLOCK, block_of(9))
        lane.close()
        cut.publish()
    scene.check()
    with scene.vault.point(f"{GROUP}~orphan-1") as point:
        content = disk_content(point, A)
    expected = bytearray(scene.points[base][A])
    expected[2 * BLOCK : 3 * BLOCK] = block_of(9)
    assert content == expected
    assert scene.vault.groups() == [GROUP, f"{GROUP}~orphan-1"]
    with pytest.raises(Refused, match="exists"):
        scene.vault.branch((GROUP, base), f"{GROUP}~orphan-1", writer="again")


def test_a_fresh_process_with_bucket_and_key_alone_finds_everything() -> None:
    scene = Scene(disks={A: 4 * BLOCK, C: BLOCK}).init()
    with scene.writer() as writer:
        scene.point(writer, {A: {0: 1}, C: {0: 4}})
    vault = Vault.open(scene.objects.survivor(), KEY, ids=seeds(), clock=scene.clock)
    (group,) = vault.groups()
    (point,) = vault.points(group)
    assert {m.id for m in point.machines} == {"web", "db"}
    with vault.point(group) as reader:
        scene.check_point(reader)


def test_without_a_key_nothing_is_read() -> None:
    scene = Scene().init()
    with pytest.raises(Refused, match="does not open"):
        Vault.open(scene.objects, KeyFile(bytes(32)), ids=seeds(), clock=scene.clock)
    with pytest.raises(Refused, match="does not open"):
        Vault.open(scene.objects, Passphrase("guess"), ids=seeds(), clock=scene.clock)


def test_keys_come_and_go_without_rewriting_data() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        scene.point(writer, {0: 1})
    before = {info.name for info in scene.objects.list("") if not info.name.startswith("keys/")}
    words = Passphrase("correct horse battery staple")
    scene.vault.add_key(KEY, words, "for the safe")
    kinds = {key.kind: key.id for key in list(scene.vault.keys())}
    assert set(kinds) == {"file", "passphrase"}
    old = kinds["file"]
    scene.vault.remove_key(old)
    with pytest.raises(Refused, match="does not open"):
        Vault.open(scene.objects, KEY, ids=seeds(), clock=scene.clock)
    scene.vault = Vault.open(scene.objects, words, ids=seeds(), clock=scene.clock)
    scene.check()
    assert before <= {info.name for info in scene.objects.list("")}
    with pytest.raises(Refused, match="only key"):
        scene.vault.remove_key(scene.vault.keys()[0].id)


def test_a_wrapped_key_does_not_open_another_vault() -> None:
    one, two = Scene().init(), Scene().init()
    (key,) = [name for name in one.objects.names() if name.startswith("keys/")]
    (other,) = [name for name in two.objects.names() if name.startswith("keys/")]
    two.objects.tamper(other, one.objects.content(key))
    with pytest.raises(Refused, match="does not open"):
        two.reopen()


class LyingStore(MemoryStore):
    """A store that overwrites when told to create only if absent."""

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        if name in self.names():
            self.tamper(name, bytes(data))
            return
        super().create(name, data)


def test_a_store_that_overwrites_is_refused() -> None:
    with pytest.raises(Refused, match="overwrites"):
        Vault.init(LyingStore(), KEY, ids=seeds(), clock=Scene().clock)


def test_a_store_that_takes_to_overwriting_gets_no_new_session() -> None:
    scene = Scene().init()
    lying = LyingStore()
    for name in scene.objects.names():
        lying.create(name, scene.objects.content(name))
    vault = scene.reopen(lying)
    before = lying.names()
    for begin in (lambda: vault.begin(GROUP, writer="test"), lambda: vault.upkeep(writer="test")):
        with pytest.raises(Refused, match="overwrites"):
            begin()
    assert lying.names() == before


def test_an_init_that_died_is_not_in_the_way_of_the_next() -> None:
    store = MemoryStore()
    store.fail("create", prefix="format")
    with pytest.raises(Unavailable):
        Vault.init(store, KEY, ids=seeds(), clock=store.clock)
    Vault.init(store, KEY, ids=seeds(), clock=store.clock)
    Vault.open(store, KEY, ids=seeds(), clock=store.clock)


def test_a_vault_is_not_made_where_something_is() -> None:
    scene = Scene().init()
    with pytest.raises(Refused, match="not empty"):
        Vault.init(scene.objects, KEY, ids=seeds(), clock=scene.clock)


def test_what_is_not_there_is_named() -> None:
    scene = Scene().init()
    with pytest.raises(Missing, match="no group"):
        scene.vault.point("nobody")
    with scene.writer() as writer:
        with pytest.raises(Missing, match="no recovery point yet"):
            scene.vault.point(GROUP)
        scene.point(writer, {0: 1})
    with pytest.raises(Missing, match="no entry 55"):
        scene.vault.point(GROUP, 55)
    with pytest.raises(Missing, match="take-over"):
        scene.vault.point(GROUP, 0)
    with scene.vault.point(GROUP) as point, pytest.raises(Missing, match="it has web/a"):
        point.disk(DiskKey("web", "z"))
    assert not list(scene.objects.list("pins/"))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "~upkeep", "a b", "é", "x" * 97])
def test_a_group_has_a_plain_name(name: str) -> None:
    with pytest.raises(Refused, match="cannot name"):
        Scene().init().vault.begin(name, writer="test")


def test_an_unknown_outcome_of_publishing_is_found_out_by_asking_again() -> None:
    for when in ("before", "after"):
        scene = Scene(tuning=Tuning()).init()
        with scene.writer() as writer:
            scene.point(writer, {0: 1})
            with writer.cut(scene.machines()) as cut:
                lane = cut.lane()
                lane.write(A, BLOCK, block_of(2))
                lane.close()
                scene.objects.fail("create", prefix="points/", when=when)
                with pytest.raises(Unavailable):
                    cut.publish()
                info = cut.publish()
            scene.now[A][BLOCK : 2 * BLOCK] = block_of(2)
            scene.points[info.number] = {A: bytes(scene.now[A])}
            scene.point(writer, {2: 3})
        scene.check()
        assert len(scene.listed()) == 3


def test_digests_tell_what_a_disk_holds_without_reading_it() -> None:
    scene = Scene().init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1 for i in range(8)})
        scene.point(writer, {2: 9, 5: 0})
        digest = scene.vault.access.sealer.digester()
    with scene.vault.point(GROUP) as point:
        reader = point.disk(A)
        content = disk_content(point, A)
        for extent, found in reader.digests():
            held = content[extent.offset : extent.end]
            assert found == (digest(held) if any(held) else b"")


def test_errors_name_point_disk_and_range() -> None:
    scene = Scene(tuning=Tuning(inline_bytes=0)).init()
    with scene.writer() as writer:
        scene.point(writer, {3: 5})
    (segment,) = [n for n in scene.objects.names() if n.startswith("segments/")]
    scene.objects.tamper(segment, None)
    with (
        scene.vault.point(GROUP) as point,
        pytest.raises(Damaged, match="disk a of machine web at point shop/1"),
    ):
        disk_content(point, A)
