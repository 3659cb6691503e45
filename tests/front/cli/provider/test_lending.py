"""Stores are shared while somebody has them, and nobody's after that."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from bascule.apps.tools import SystemTools
from bascule.front.cli.provider.lending import Lending
from bascule.model.errors import Missing
from tests.front.cli.conftest import Desk


def opened_below(folder: str) -> int:
    """Return how many descriptors of this process lead into a folder."""
    links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(link.is_relative_to(folder) for link in links)


def test_a_store_is_opened_once_for_all_and_let_go_of_by_the_last(desk: Desk) -> None:
    desk.init()
    lending, key = Lending(SystemTools(desk.settings)), desk.settings["BASCULE_KEY_FILE"]
    with ExitStack() as first:
        one = first.enter_context(lending.vault(desk.store, key))
        with lending.vault(desk.store, key) as other:
            assert other is one
        assert one.groups() == []
        assert opened_below(desk.store) > 0
    assert opened_below(desk.store) == 0
    with lending.vault(desk.store, key) as again:
        assert again is not one
        assert again.groups() == []


def test_a_store_that_cannot_be_opened_is_tried_anew_by_who_comes_next(desk: Desk) -> None:
    desk.init()
    lending, key = Lending(SystemTools(desk.settings)), desk.settings["BASCULE_KEY_FILE"]
    away = desk.path("away")
    desk.path("store").rename(away)
    with pytest.raises(Missing), lending.vault(desk.store, key):
        pass
    away.rename(desk.store)
    with lending.vault(desk.store, key) as found:
        assert found.groups() == []
