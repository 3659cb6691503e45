"""Devices that wait, in a file and in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.drivers.hosts.devices import SqlDevices
from bascule.drivers.hosts.postgres import PostgresDatabase
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.hosts.tables import Database
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.principal import Device
from tests.servers.postgres import Postgres

ONE = Device("1", "BCDFGHJK", 100.0)


class DevicesContract:
    """A subclass gives the fixture ``place``."""

    @pytest.fixture
    def kept(self, place: Database) -> Iterator[SqlDevices]:
        with closing(place):
            yield SqlDevices(place)

    def test_one_is_agreed_to_once_and_goes_once(self, kept: SqlDevices) -> None:
        kept.add(ONE, 10, 0.0)
        kept.agree(ONE.code, "carla", "s", 99.0)
        assert kept.get("1") == replace(ONE, person="carla", secret="s")
        kept.remove("1")
        for call in (
            lambda: kept.agree(ONE.code, "carla", "s", 0.0),
            lambda: kept.get("1"),
            lambda: kept.remove("1"),
        ):
            with pytest.raises(Missing):
                call()

    def test_another_one_cannot_agree_in_ones_place_nor_too_late(self, kept: SqlDevices) -> None:
        kept.add(ONE, 10, 0.0)
        with pytest.raises(Missing):
            kept.agree(ONE.code, "carla", "s", 100.0)
        kept.agree(ONE.code, "carla", "s", 0.0)
        with pytest.raises(Missing):
            kept.agree(ONE.code, "mallory", "t", 0.0)

    def test_codes_are_one_devices_and_only_so_many_wait(self, kept: SqlDevices) -> None:
        kept.add(ONE, 2, 0.0)
        with pytest.raises(Exists):
            kept.add(replace(ONE, id="2"), 2, 0.0)
        kept.add(Device("2", "CCCCCCCC", 50.0), 2, 0.0)
        with pytest.raises(Refused, match="wait already"):
            kept.add(Device("3", "DDDDDDDD", 100.0), 2, 0.0)
        kept.add(Device("3", "DDDDDDDD", 100.0), 2, 50.0)
        with pytest.raises(Missing):
            kept.get("2")


class TestInAFile(DevicesContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Database:
        return SqliteDatabase(tmp_path / "hosts.sqlite")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.mark.lab
class TestInPostgres(DevicesContract):
    @pytest.fixture
    def place(self, server: Postgres) -> Database:
        return PostgresDatabase(server.database())
