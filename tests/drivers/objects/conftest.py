from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.servers.azurite import Azurite
from tests.servers.moto import Moto


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as server:
        server.create_container("shared")
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with Moto() as server:
        server.create_bucket("shared")
        yield server


@pytest.fixture(scope="session")
def fresh_prefix() -> Callable[[], str]:
    """A part of a shared bucket that no other test looks into."""
    numbers = itertools.count()
    return lambda: f"test-{next(numbers)}/"
