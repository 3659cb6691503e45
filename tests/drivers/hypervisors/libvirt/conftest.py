"""One libvirtd for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.libvirtd import Libvirtd, running


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    with running() as daemon:
        yield daemon
