"""Listing folder by folder while somebody else creates and deletes between any two steps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.data.store.format import names
from bascule.drivers.objects.files import listing
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Unavailable

PREFIX = names.log_prefix("g")
HEAD, NEXT, LAST = 297, 300, 455
"""A log's head moves from folder to folder, each time leaving nothing behind."""


class Steps:
    """Does something before the nth look at the file system, and counts the looks."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._work: dict[int, list[Callable[[], None]]] = {}
        for name in ("_paths", "look"):
            patch.setattr(listing, name, self._after_work(getattr(listing, name)))

    def before(self, step: int, work: Callable[[], None]) -> None:
        """Do ``work`` before step ``step``, counted from now, after what was to be done there already."""
        self._work.setdefault(self.count + step, []).append(work)

    def forget(self) -> None:
        """Do none of what is still to be done."""
        self._work.clear()

    def _after_work(self, inner: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*given: object) -> object:
            for work in self._work.pop(self.count, []):
                work()
            self.count += 1
            # A folder is read in one piece here, as the system reads one of a hundred entries.
            found = inner(*given)
            return list(found) if isinstance(found, Iterator) else found

        return wrapped


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def _put(store: LocalStore, number: int) -> None:
    store.create(names.entry("g", number), b"entry")


def _move(store: LocalStore, before: int, after: int) -> None:
    _put(store, after)
    store.delete([names.entry("g", before)])


def _first(store: LocalStore) -> int:
    return names.number_of(next(store.list(PREFIX)).name)


@pytest.mark.slow
@pytest.mark.parametrize("stale", [150, 250])
@pytest.mark.parametrize("heads", [(HEAD, NEXT, LAST), (HEAD, 298, 299), (HEAD, 299, LAST)])
@pytest.mark.parametrize("left_behind", [(), (NEXT,), (LAST,), (NEXT, LAST)])
def test_the_newest_entry_is_found_however_the_log_moves_on_meanwhile(
    stale: int,
    heads: tuple[int, int, int],
    left_behind: tuple[int, ...],
    store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, third = heads

    def prepare() -> None:
        steps.forget()
        for info in list(store.list("points/")):
            store.delete([info.name])
        for number in (stale, HEAD):
            _put(store, number)
        for number in left_behind:  # by a writer that died before its entry had a name
            (tmp_path / names.entry("g", number)).parent.mkdir(exist_ok=True)

    steps = Steps(monkeypatch)
    prepare()
    before = steps.count
    assert _first(store) == HEAD
    looks = steps.count - before
    for one, other in itertools.combinations_with_replacement(range(looks + 8), 2):
        prepare()
        steps.before(one, lambda: _move(store, first, second))
        steps.before(other, lambda: _move(store, second, third))
        assert _first(store) in heads, f"moved before steps {one} and {other}"


def _numbers(store: LocalStore) -> list[int]:
    return [names.number_of(info.name) for info in store.list(PREFIX)]


def test_what_is_there_all_the_time_is_listed_once(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting = list(range(0, 1000, 90))
    for number in lasting:
        _put(store, number)
    steps = Steps(monkeypatch)
    for step in range(30):
        _put(store, 5000 + step)
        steps.before(step, lambda step=step: _move(store, 5000 + step, 7000 + 100 * step))
        found = _numbers(store)
        assert [number for number in found if number < 1000] == lasting[::-1]
        assert len(found) == len(set(found))


def test_foreign_things_in_a_folder_do_not_keep_a_listing_from_its_end(
    store: LocalStore, tmp_path: Path
) -> None:
    _put(store, HEAD)
    folder = (tmp_path / names.entry("g", HEAD)).parent
    (folder / "00-link").symlink_to("/nowhere")
    os.mkfifo(folder / "00-pipe")
    assert _numbers(store) == [HEAD]


def test_folders_that_never_rest_are_reported(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store, HEAD)
    steps, numbers = Steps(monkeypatch), itertools.count(NEXT, 100)

    def again() -> None:
        _put(store, next(numbers))
        steps.before(1, again)

    steps.before(1, again)
    with pytest.raises(Unavailable, match="change too fast"):
        _first(store)
