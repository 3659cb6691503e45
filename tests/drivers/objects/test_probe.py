from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from bascule.drivers.objects.azblob import open_azblob
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import MemoryStore
from bascule.drivers.objects.probe import check_create_if_absent
from bascule.drivers.objects.s3 import open_s3
from bascule.model.errors import Exists, Refused, Unavailable
from tests.contracts.objects import names
from tests.servers.azurite import Azurite
from tests.servers.moto import Moto


class Numbers:
    """The Ids port, counting."""

    def __init__(self) -> None:
        self._next = itertools.count()

    def random(self, count: int) -> bytes:
        return next(self._next).to_bytes(count)


class Overwriting(MemoryStore):
    """Knows no If-None-Match, as old S3 servers."""

    def create(self, name: str, data: bytes) -> None:
        self.delete([name])
        super().create(name, data)


class OverwritingWithAnError(MemoryStore):
    """Says Exists, and overwrites nevertheless."""

    def create(self, name: str, data: bytes) -> None:
        taken = name in self.names()
        self.delete([name])
        super().create(name, data)
        if taken:
            raise Exists("taken")


class CheckThenWrite(MemoryStore):
    """Looks, and then writes: fine one after the other, wrong in a race."""

    def __init__(self) -> None:
        super().__init__()
        self._rendezvous = threading.Barrier(4)

    def create(self, name: str, data: bytes) -> None:
        if name in self.names():
            raise Exists("taken")
        if not name.endswith("/0"):
            self._rendezvous.wait(30)
        self.delete([name])
        super().create(name, data)


class KeepingTheLosersBytes(MemoryStore):
    """Tells one racer that it won and keeps what another one wrote."""

    def create(self, name: str, data: bytes) -> None:
        taken = name in self.names()
        if taken and not name.endswith("/0"):
            self.tamper(name, bytes(data))
        if taken:
            raise Exists("taken")
        super().create(name, data)


def test_honest_places_pass_and_nothing_is_left(tmp_path: Path) -> None:
    for store in (MemoryStore(), LocalStore(tmp_path)):
        check_create_if_absent(store, Numbers())
        assert names(store) == []
    assert not (tmp_path / "probe").exists()


@pytest.mark.lab
def test_azurite_and_moto_pass_and_nothing_is_left(azurite: Azurite, moto: Moto) -> None:
    for store in (
        open_azblob("shared", "probed/", azurite.environment()),
        open_s3("shared", "probed/", moto.environment()),
    ):
        check_create_if_absent(store, Numbers())
        assert names(store) == []


@pytest.mark.parametrize(
    ("liar", "said"),
    [
        (Overwriting, "created the same name twice"),
        (OverwritingWithAnError, "overwrote the object all the same"),
        (CheckThenWrite, "let 4 of 4 racing creates of one name succeed"),
        (KeepingTheLosersBytes, "kept other bytes"),
    ],
)
def test_a_place_that_lies_is_refused_with_what_it_did(liar: type[MemoryStore], said: str) -> None:
    store = liar()
    with pytest.raises(Refused, match=said) as caught:
        check_create_if_absent(store, Numbers())
    assert caught.value.code == "no-create-if-absent"
    assert store.names() == ()


def test_a_place_that_does_not_answer_is_unavailable_and_no_liar() -> None:
    for at in range(1, 10):
        store = MemoryStore()
        store.fail("create", at=at)
        with pytest.raises(Unavailable):
            check_create_if_absent(store, Numbers())
        assert store.names() == ()


def test_what_went_wrong_first_is_told_even_if_the_cleaning_fails_too() -> None:
    store = MemoryStore()
    store.fail("create", at=2)
    store.fail("delete", times=10)
    with pytest.raises(Unavailable, match="create"):
        check_create_if_absent(store, Numbers())
