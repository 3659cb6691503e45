"""Bascule without the library that speaks to libvirt."""

from __future__ import annotations

import sys

import pytest

from bascule.drivers.hypervisors.libvirt.connection import connect
from bascule.model.errors import Refused


def test_without_the_library_its_user_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(Refused, match="without the library") as refused:
        connect("qemu:///system")
    assert "bascule[libvirt]" in refused.value.cure
