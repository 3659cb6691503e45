"""A server of vaults in a folder with a short path, and its operator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.servers.vaults import VaultServer
from tests.front.cli.conftest import Desk
from tests.lab.api.operators import Operator


@pytest.fixture
def operator(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    desk = Desk(tmp_path_factory.mktemp("v"), capsys)  # sockets of recovered machines need a short path
    desk.init()
    with VaultServer(desk.path("vaults")) as server:
        found = Operator(desk, server)
        yield found
        for process in found.hosts.values():
            process.kill()
            process.communicate()
