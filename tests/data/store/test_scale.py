"""Costs follow what changed and what is asked for, not how many points there are or how large a disk is."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from bascule.data.store import BLOCK, DiskKey, DiskSpec, MachineSpec, Shape, Tuning, Vault
from bascule.data.store.format.container import FrameRef, Source
from bascule.data.store.format.layers import Stack, visible
from bascule.data.store.format.runs import Run
from bascule.drivers.objects.memory import MemoryStore, SetClock, Verb
from bascule.model.retention import Ladder
from tests.data.store.format.maps import Shelf, layers_of
from tests.data.store.scene import GROUP, KEY, block_of, seeds

A = DiskKey("web", "a")
POINTS = 10_000
BLOCKS = 2048
MINUTE = 60.0
# A quarter of what a session does by default, so that many points are quickly made.
LIGHT = Tuning(upload_threads=1, buffers=2, shape=Shape(inline_runs=64, page_runs=512))
TIB = 1024


class Meter(MemoryStore):
    """A store that counts operations and bytes read, and keeps no journal."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(clock)
        self.operations = self.bytes = 0

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        count = super().read(name, offset, buffer)
        self.bytes += count
        return count

    def _run(self, verb: Verb, name: str, effect: Callable[[], Any]) -> Any:
        self.operations += 1
        self.journal.clear()
        return super()._run(verb, name, effect)


@dataclass(frozen=True)
class Cost:
    operations: int
    bytes: int


@dataclass
class Long:
    """A vault with a long history, and what doing something with it costs."""

    store: Meter
    vault: Vault
    clock: SetClock

    def cost(self, act: Callable[[], object]) -> Cost:
        operations, read = self.store.operations, self.store.bytes
        act()
        return Cost(self.store.operations - operations, self.store.bytes - read)

    def opening(self, number: int) -> Cost:
        """Open a point and a disk of it."""
        return self.cost(lambda: self._open(number, 0))

    def first_look(self, number: int) -> Cost:
        """Open a point and read a block of it, somewhere."""
        return self.cost(lambda: self._open(number, BLOCK))

    def _open(self, number: int, length: int) -> None:
        with self.vault.point(GROUP, number) as point:
            point.disk(A).read_into(number % BLOCKS * BLOCK, memoryview(bytearray(length)))


def _history(points: int) -> Long:
    clock, chance = SetClock(), random.Random(1)
    store = Meter(clock)
    vault = Vault.init(store, KEY, ids=seeds(), clock=clock)
    machine = MachineSpec("web", "WEB", (DiskSpec("a", BLOCKS * BLOCK),))
    contents = [block_of(value) for value in range(1, 9)]
    with vault.begin(GROUP, writer="test", tuning=LIGHT) as writer:
        for number in range(1, points + 1):
            clock.time += MINUTE
            blocks = range(BLOCKS) if number == 1 else chance.sample(range(BLOCKS), 3)
            with writer.cut([machine], captured_at=clock.time) as cut:
                lane = cut.lane()
                for block in blocks:
                    lane.write(A, block * BLOCK, contents[number % 8])
                lane.close()
                cut.publish()
    return Long(store, vault, clock)


@pytest.fixture(scope="module")
def long() -> Long:
    return _history(POINTS)


@pytest.mark.lab
def test_ten_thousand_points_are_opened_listed_swept_and_thinned_at_a_bounded_cost(long: Long) -> None:
    _opening_the_last_point_costs_what_opening_the_tenth_does(long)
    _the_head_is_found_at_once(long)
    _a_listing_reads_each_entry_once(long)
    _a_sweep_reads_each_entry_and_each_layer_once(long)
    _thinning_leaves_a_store_as_small_as_what_it_keeps(long)


def _opening_the_last_point_costs_what_opening_the_tenth_does(long: Long) -> None:
    # The runs in an entry come and go in a saw-tooth of some twenty points; so means over a few of its teeth.
    tenth, last = range(5, 65), range(POINTS - 60, POINTS)
    for act in (long.opening, long.first_look):
        early, late = [act(number) for number in tenth], [act(number) for number in last]
        assert max(cost.operations for cost in late) <= 2 * mean(cost.operations for cost in early)
        assert mean(cost.bytes for cost in late) <= 2 * mean(cost.bytes for cost in early)


def _the_head_is_found_at_once(long: Long) -> None:
    assert long.cost(lambda: long.vault.log(GROUP).head()).operations <= 3
    assert long.cost(long.vault.groups).operations <= 3  # and who of them was retired
    taken = long.cost(lambda: long.vault.begin(GROUP, writer="next", tuning=LIGHT).close())
    assert taken.operations <= 16
    assert taken.bytes < 64 << 10


def _a_listing_reads_each_entry_once(long: Long) -> None:
    listed: list[int] = []
    cost = long.cost(lambda: listed.extend(info.number for info in long.vault.points(GROUP)))
    assert listed == list(range(1, POINTS + 1))
    assert cost.operations <= POINTS + 10


def _a_sweep_reads_each_entry_and_each_layer_once(long: Long) -> None:
    stored = sum(info.size for info in long.store.list(""))
    with long.vault.upkeep(writer="test") as upkeep:
        cost = long.cost(upkeep.sweep)
    assert cost.operations <= 3 * POINTS
    assert cost.bytes <= 2 * stored


def _thinning_leaves_a_store_as_small_as_what_it_keeps(long: Long) -> None:
    with long.vault.upkeep(writer="test") as upkeep:
        removed = upkeep.thin(GROUP, Ladder.parse("1h:all,1d:1h"))
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
        assert upkeep.thin(GROUP, Ladder.parse("1h:all,1d:1h")) == []
    left = [info.number for info in long.vault.points(GROUP)]
    assert len(left) == POINTS - len(removed) < 100
    assert left[-1] == POINTS
    # A moved table for each object that a block of a kept point once lay in; else what is kept, no more.
    assert len(long.store.names("moved/")) < 2 * BLOCKS
    assert len(long.store.names()) - len(long.store.names("moved/")) < 5 * len(left)
    early, late = long.opening(left[0]), long.opening(left[-1])
    assert late.operations <= 2 * early.operations
    assert not list(long.vault.verify())


# A dense disk, by its map alone: a process of its own, whose memory is measured.


def _figures(gib: int, deltas: int) -> dict[str, Any]:
    """Map a dense disk in one copy and 64 MiB deltas of random blocks, and say what that cost."""
    chance, shelf, stack = random.Random(gib), Shelf(Shape()), Stack()
    blocks = gib << 14
    full = 0
    for first in range(0, blocks, 4 * Shape().spill_runs):
        end = min(first + 4 * Shape().spill_runs, blocks)
        stack = shelf.stacker.push(stack, _bulk(chance, first, end), spill=True)
        full = max(full, len(stack.layers))
    copied, started = shelf.written, _peak_kib()
    for _ in range(deltas):
        stack = shelf.stacker.push(stack, _delta(chance, blocks))
        full = max(full, len(stack.layers))
    changed = (shelf.written - copied) // deltas
    return {
        "layers": full,
        "sizes": layers_of(stack),
        "copy_bytes": copied,
        "copy_mib": started >> 10,
        "delta_bytes": changed,
        **_reading(chance, shelf, stack, blocks),
        "mib": _peak_kib() >> 10,
    }


def _peak_kib() -> int:
    """The peak of this very program; what getrusage tells may be its parent's."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def _bulk(chance: random.Random, first: int, end: int) -> list[Run]:
    """A bulk copy: frames of 256 KiB that do not compress, 64 to a segment."""
    runs = []
    for number, block in enumerate(range(first, end, 4)):
        if number % 64 == 0:
            source = _segment(chance, block)
        runs.append(
            Run(block, 4, 0, FrameRef(source, number % 64, 64 + number % 64 * 262_160, 262_160, 1 << 18, 1))
        )
    return runs


def _delta(chance: random.Random, blocks: int) -> list[Run]:
    """64 MiB of random blocks, in four segments."""
    sources = [_segment(chance, number) for number in range(4)]
    changed = sorted(chance.sample(range(blocks), 1024))
    return [
        Run(block, 1, 0, FrameRef(sources[i >> 8], i & 255, 64 + (i & 255) * 65_552, 65_552, BLOCK, 1))
        for i, block in enumerate(changed)
    ]


def _segment(chance: random.Random, number: int) -> Source:
    return Source(f"segments/{GROUP}/{'5' * 32}/{number:08d}", chance.randbytes(32))


def _reading(chance: random.Random, shelf: Shelf, stack: Stack, blocks: int) -> dict[str, Any]:
    shelf.forget()
    assert _shown(shelf, stack, blocks // 2)
    opening = shelf.read
    shelf.reads = 0
    lookups = 500
    for _ in range(lookups):
        assert _shown(shelf, stack, chance.randrange(blocks))
    return {"opening_bytes": opening, "lookup_reads": shelf.reads / lookups}


def _shown(shelf: Shelf, stack: Stack, block: int) -> bool:
    (run,) = visible(shelf.cache, stack, block, block + 1)
    return run.frame is not None


@cache
def figures(gib: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name if __spec__ else "tests.data.store.test_scale", str(gib)],
        check=True,
        capture_output=True,
        text=True,
        timeout=280,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.lab
def test_the_map_of_a_dense_terabyte_has_few_layers_opens_at_once_and_fits_a_small_memory() -> None:
    found = figures(TIB)
    assert found["layers"] <= 14
    assert found["opening_bytes"] < 1 << 20
    assert found["lookup_reads"] < 4
    # A first copy writes each of its pages once.
    assert found["copy_bytes"] < 34 * (TIB << 12)
    assert found["mib"] < 160


@pytest.mark.lab
def test_a_delta_costs_its_own_size_on_a_disk_of_any_size() -> None:
    data = 64 << 20
    small, medium, large = (data + figures(gib)["delta_bytes"] for gib in (16, 256, TIB))
    assert max(small, medium, large) <= 1.01 * min(small, medium, large)
    maps = [figures(gib)["delta_bytes"] for gib in (16, 256, TIB)]
    assert max(maps) <= 2 * min(maps)
    assert max(maps) < 512 << 10


def test_a_change_that_reaches_everywhere_is_merged_a_few_pages_at_a_time() -> None:
    """The older layer spans the disk with few runs, the newer one is dense: no page outgrows its share."""
    shelf = Shelf(replace(Shape(), page_runs=64))
    chance = random.Random(2)
    sparse = [run._replace(span=1) for run in _bulk(chance, 0, 4 << 14)]
    stack = shelf.stacker.push(Stack(), sparse, spill=True)
    dense = [replace_block(run, i) for i, run in enumerate(_bulk(chance, 0, 4 << 14))]
    stack = shelf.stacker.push(stack, dense, spill=True)
    (layer,) = stack.layers
    assert all(page.runs <= 64 for page in shelf.cache.pages(layer))
    assert layer.runs < len(sparse) + len(dense)


def replace_block(run: Run, number: int) -> Run:
    return run._replace(block=2 * number, span=1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_figures(int(sys.argv[1]), 100)))
