"""Principals in their file: they outlive it being closed, and nobody else can read it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.identity.sqlite import SqlitePrincipals
from bascule.model.errors import Damaged, Exists, Missing
from bascule.model.vault.principal import Principal, Secret

ANNA = Principal("1", "anna", True, (Secret("s", b"salt", b"digest", 1.0, 2.0),))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[SqlitePrincipals]:
    opened = SqlitePrincipals(tmp_path / "identity.db", SystemIds())
    yield opened
    opened.close()


def test_what_was_written_is_there_in_the_next_life(tmp_path: Path) -> None:
    first = SqlitePrincipals(tmp_path / "i.db", SystemIds())
    first.add(ANNA)
    first.close()
    again = SqlitePrincipals(tmp_path / "i.db", SystemIds())
    assert (again.server, again.key) == (first.server, first.key)
    assert again.all() == (again.get("1"),) == (ANNA,)
    again.close()


def test_two_servers_have_nothing_in_common(kept: SqlitePrincipals, tmp_path: Path) -> None:
    other = SqlitePrincipals(tmp_path / "other.db", SystemIds())
    assert kept.server != other.server
    assert kept.key != other.key
    other.close()


def test_names_and_ids_are_taken_once_in_whatever_case(kept: SqlitePrincipals) -> None:
    kept.add(ANNA)
    for twin in (Principal("1", "otto"), Principal("2", "Anna")):
        with pytest.raises(Exists):
            kept.add(twin)
    assert kept.all() == (ANNA,)


def test_what_is_not_there_is_missing(kept: SqlitePrincipals) -> None:
    for call in (lambda: kept.get("1"), lambda: kept.put(ANNA), lambda: kept.remove("1")):
        with pytest.raises(Missing):
            call()
    kept.add(ANNA)
    kept.remove("1")
    assert kept.all() == ()


def test_nobody_else_reads_the_file(kept: SqlitePrincipals, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "identity.db").stat().st_mode) == 0o600


def test_a_file_that_is_none_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "i.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Damaged):
        SqlitePrincipals(tmp_path / "i.db", SystemIds())
