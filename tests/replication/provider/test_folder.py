from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from bascule.model.items import Wish
from bascule.replication.provider.folder import ItemFolder

TURNS = 40


class Crowd:
    """Commands that want a group and do not want it, while its leftovers are removed again and again."""

    def __init__(self, item: ItemFolder) -> None:
        self.item = item
        self.over = threading.Event()
        self._inside = threading.Lock()

    def want(self) -> None:
        for _ in range(TURNS):
            assert self.item.change(self._wanted) is not None
            self.item.change(self._unwanted)

    def clear_up(self) -> None:
        while not self.over.is_set():
            self.item.remove()

    def _wanted(self, _: Wish | None) -> Wish:
        self._be_alone()
        return Wish("web", ("web",), "store")

    def _unwanted(self, _: Wish | None) -> None:
        self._be_alone()

    def _be_alone(self) -> None:
        assert self._inside.acquire(blocking=False), "two commands changed the wish at one moment"
        self.item.wish()
        self._inside.release()


def test_commands_take_turns_and_work_while_the_group_is_removed_under_them(tmp_path: Path) -> None:
    crowd = Crowd(ItemFolder(tmp_path / "machines" / "web"))
    with ThreadPoolExecutor(3) as crew:
        clearing = crew.submit(crowd.clear_up)
        wanting = [crew.submit(crowd.want) for _ in range(2)]
        try:
            for each in wanting:
                each.result()
        finally:
            crowd.over.set()
        clearing.result()
    assert crowd.item.change(lambda _: Wish("web", ("web",), "store")) is not None
    crowd.item.remove()
    assert crowd.item.wish() is not None, "who is wanted is not removed"


def test_nothing_is_left_of_a_group_that_nobody_wants(tmp_path: Path) -> None:
    item = ItemFolder(tmp_path / "machines" / "web")
    item.change(lambda _: Wish("web", ("web",), "store"))
    item.room.mkdir()
    (item.room / "fleece").write_bytes(b"x")
    item.note({"event": "removed"})
    item.change(lambda _: None)
    item.remove()
    assert list((tmp_path / "machines").iterdir()) == []


def test_a_file_in_the_place_of_a_groups_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "web").write_bytes(b"")
    with pytest.raises(Unavailable, match="web"):
        ItemFolder(tmp_path / "web").change(lambda _: None)
