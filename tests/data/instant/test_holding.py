from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from bascule.data.instant.holding import Wanted, claim, let_go, settle
from bascule.data.instant.state import STATE, Phase, Served, load
from bascule.data.store import Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Missing, Refused
from tests.data.instant.points import GROUP, MACHINE, content, opened, vault
from tests.data.instant.storm import Disk, StormFolder, Struck

WANTED = Wanted(GROUP, None, MACHINE)


class House:
    """A store and a local disk, and processes that come and go."""

    def __init__(self, objects: MemoryStore, disk: Disk) -> None:
        self.objects = objects
        self.disk = disk

    @property
    def folder(self) -> StormFolder:
        return StormFolder(self.disk)

    def points(self) -> Vault:
        return opened(self.objects)

    def pins(self) -> list[str]:
        return [name.rsplit("/", 1)[1] for name in self.objects.names("pins/") if name.endswith("-d")]

    def claim(self) -> Served:
        served, reader = claim(self.folder, self.points, WANTED)
        if reader is not None:
            reader.close()
        return served

    def settle(self) -> None:
        settle(self.folder, self.claim(), self.points)

    def let_go(self) -> None:
        let_go(self.folder, self.points, lambda _: self.disk.step())


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    objects = MemoryStore()
    vault({"a": content(100_000)}, objects)
    return objects


def test_a_claim_takes_one_pin_and_keeps_it(store: MemoryStore) -> None:
    house = House(store.survivor(), Disk())
    first = house.claim()
    assert (first.phase, house.pins()) == (Phase.PINNED, [first.pin_id])
    assert house.claim() == first
    assert house.pins() == [first.pin_id]


def test_what_is_local_needs_neither_store_nor_pin(store: MemoryStore) -> None:
    house = House(store.survivor(), Disk())
    house.claim()
    house.settle()
    assert house.pins() == []
    house.objects.fail(times=1 << 30)
    assert house.claim().phase is Phase.LOCAL
    house.settle()


def test_letting_go_leaves_nothing(store: MemoryStore) -> None:
    house = House(store.survivor(), Disk())
    house.claim()
    house.let_go()
    assert house.pins() == []
    assert load(house.folder) is None
    house.let_go()


@pytest.mark.parametrize(
    "verbs", [("claim",), ("claim", "settle"), ("claim", "let_go"), ("claim", "settle", "let_go")]
)
@pytest.mark.parametrize("strike", range(1, 30))
def test_a_power_cut_at_any_step_loses_no_pin_that_is_needed_and_leaks_none(
    store: MemoryStore, strike: int, verbs: tuple[str, ...]
) -> None:
    for seed in range(4):
        house = House(store.survivor(), Disk(Random(seed)))
        house.disk.strike_at = strike
        run(house, [getattr(house, verb) for verb in verbs])
        house.disk.lose_power()
        # A process that comes up and dies at once, and another power cut: what it acted upon must be durable.
        run(house, [house.claim])
        house.disk.lose_power()
        served = load(house.folder)
        if served is not None and served.phase is Phase.PINNED:
            assert house.pins() == [served.pin_id]
        if served is None:
            # The cut came before anything was written down, or after all was thrown away.
            assert house.pins() == []
        with suppress(Refused):
            house.claim()
        house.let_go()
        assert house.pins() == []


def run(house: House, deeds: list[Callable[[], object]]) -> None:
    with suppress(Struck, Refused):
        for deed in deeds:
            deed()


@pytest.mark.parametrize("strike", range(1, 25))
def test_a_process_that_dies_between_writing_and_syncing_is_not_believed_blindly(
    store: MemoryStore, strike: int
) -> None:
    for seed in range(6):
        house = House(store.survivor(), Disk(Random(seed)))
        house.disk.strike_at = strike
        run(house, [house.claim, house.settle])
        house.disk.die()
        run(house, [house.claim, house.settle])
        house.disk.lose_power()
        assert house.claim().phase is Phase.LOCAL
        assert house.pins() == []


def test_a_folder_with_a_state_that_makes_no_sense_is_damaged(store: MemoryStore) -> None:
    for text in (b"", b"{}", b"[1]", b'{"group": "a", "phase": "sold"}'):
        house = House(store.survivor(), Disk())
        house.folder.open(STATE).write(0, text)
        with pytest.raises(Damaged):
            house.claim()


def test_a_folder_of_another_format_is_refused(store: MemoryStore) -> None:
    house = House(store.survivor(), Disk())
    house.folder.open(STATE).write(0, b'{"format": 2}')
    with pytest.raises(Refused, match="format 2"):
        house.claim()


def test_a_point_that_is_gone_leaves_no_pin(store: MemoryStore) -> None:
    house = House(store.survivor(), Disk())
    with pytest.raises(Missing):
        claim(house.folder, house.points, Wanted(GROUP, 77, MACHINE))
    assert house.pins() == []
