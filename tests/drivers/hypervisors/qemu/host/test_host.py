"""Real QEMU machines on a host in a folder, with guests that boot."""

from __future__ import annotations

import pytest

from tests.contracts.hypervisors import HypervisorContract

pytestmark = pytest.mark.lab


class TestQemuHost(HypervisorContract):
    pass
