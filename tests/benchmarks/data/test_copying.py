from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.data.bench import Bench, alternate
from benchmarks.data.figures import copying
from benchmarks.data.images import MIB
from benchmarks.data.process import Cost, Failed
from benchmarks.data.runner import Room


class Copier:
    """Keeps a plain copy; ``lies`` makes a restored byte wrong."""

    name = "copier"

    def __init__(self, *, has_delta: bool = True, lies: bool = False) -> None:
        self.has_delta = has_delta
        self._lies = lies

    def install(self, _cache: Path) -> None:
        """There is nothing to install."""

    def prepare(self, room: Room) -> None:
        self._room = room

    def full(self) -> Cost:
        shutil.copy(self._room.disk, self._room.store / "copy")
        return Cost(1.0)

    delta = full

    def restore(self, into: Path) -> Cost:
        with open(shutil.copy(self._room.store / "copy", into / "disk.img"), "r+b") as file:
            if self._lies:
                file.seek(-1, 2)
                file.write(b"x")
        return Cost(1.0)

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()


def bench_in(cache: Path, *only: str, rounds: int = 1) -> Bench:
    return Bench(cache, rounds, 8 * MIB, quick=True, only=frozenset(only), against=frozenset())


@pytest.mark.parametrize("only", [("full",), ("delta",), ("restore",), ("restore-cold",)])
def test_a_restore_that_is_wrong_fails_the_run_whatever_was_asked_for(
    tmp_path: Path, only: tuple[str, ...]
) -> None:
    with pytest.raises(Failed, match="copier restored wrong bytes"):
        copying.measure(bench_in(tmp_path, *only), [Copier(lies=True)])


def test_after_a_delta_the_changed_disk_is_what_must_come_back(tmp_path: Path) -> None:
    class Forgetful(Copier):
        def delta(self) -> Cost:
            return Cost(1.0)

    copying.measure(bench_in(tmp_path, "full", "restore"), [Forgetful(has_delta=False)])
    with pytest.raises(Failed, match="wrong bytes"):
        copying.measure(bench_in(tmp_path, "delta", "restore"), [Forgetful()])


def test_nothing_of_a_run_stays_on_the_disk_but_the_images(tmp_path: Path) -> None:
    copying.measure(bench_in(tmp_path, "full", "delta"), [Copier()])

    assert [path.name for path in tmp_path.iterdir() if path.name != "rooms"] == ["mixed-8-v1"]
    assert not any(tmp_path.glob("rooms/*/*"))


def test_who_goes_first_changes_from_round_to_round() -> None:
    said: list[str] = []

    alternate(3, [lambda: said.append("a"), lambda: said.append("b")])

    assert "".join(said) == "abbaab"
