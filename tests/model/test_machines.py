"""A machine's definition survives being written down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Damaged, Refused
from bascule.model.machines import (
    DirectBoot,
    DiskPlace,
    Firmware,
    Hardware,
    MachineDefinition,
    Nic,
    check,
    read,
    uuid_of,
    written,
)

_words = st.text(max_size=20)
_hardware = st.builds(
    Hardware,
    st.integers(1, 64),
    st.integers(1, 1 << 20),
    st.sampled_from(Firmware),
    st.lists(st.builds(Nic, _words, _words, _words, _words), max_size=3).map(tuple),
    st.none() | st.builds(DirectBoot, _words, _words, _words),
    _words,
)
_definitions = st.builds(
    MachineDefinition,
    _words,
    _hardware,
    st.lists(st.builds(DiskPlace, _words, _words, _words), max_size=3).map(tuple),
)


@given(_definitions)
def test_what_was_written_is_read_again(definition: MachineDefinition) -> None:
    assert read(written(definition)) == definition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"version": 2}',
        '{"version": 1}',
        b"\xff",
        '{"version":1,"name":"a","disks":[7],"hardware":{}}',
    ],
)
def test_what_is_no_definition_is_damaged(text: str | bytes) -> None:
    with pytest.raises(Damaged):
        read(text)


_GOOD = MachineDefinition(
    "web-1.example",
    Hardware(2, 512, nics=(Nic("net0", "lan", "52:54:00:00:00:01"), Nic("net1", "", "", "10.1.2.9/24"))),
    (DiskPlace("disk0", "/vm/web.qcow2"), DiskPlace("disk1", "nbd://host/disk1", "raw")),
)


def test_a_definition_that_any_host_understands_passes() -> None:
    assert check(_GOOD) is _GOOD


@pytest.mark.parametrize(
    "change",
    [
        *({"name": name} for name in ("", ".", "..", "a/b", "-rf", "web server", "nul\0", "x" * 65, "web\n")),
        {"disks": (DiskPlace("disk0", "a"), DiskPlace("disk0", "b"))},
        {"disks": (DiskPlace("0", "a"),)},
        {"disks": (DiskPlace("disk0", "a", "vmdk"),)},
        {"disks": (DiskPlace("disk0", "nbd://host/a", "qcow2"),)},
        {"hardware": Hardware(cpus=0)},
        {"hardware": Hardware(memory_mib=1)},
        {"hardware": Hardware(nics=(Nic("net0", "lan"), Nic("net0", "lan")))},
        {"hardware": Hardware(nics=(Nic("net,0", "lan"),))},
        *(
            {"hardware": Hardware(nics=(Nic("n", "", address=address),))}
            for address in (
                "10.1.2.9",
                "10.1.2.0/24",
                "10.1.2.255/24",
                "10.1.2.9/29",
                "10.1.2.9/7",
                "::2/24",
                "X",
            )
        ),
        *({"hardware": Hardware(nics=(Nic("n", "", mac),))} for mac in ("52:54", "01:00:00:00:00:00", "X")),
    ],
)
def test_a_definition_that_no_host_understands_is_refused_with_a_cure(change: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        check(replace(_GOOD, **change))
    assert refused.value.cure


def test_the_number_of_a_machine_is_the_uuid_of_its_name_which_guests_have_known_since_ever() -> None:
    assert uuid_of("shop") == "8adb93b9-8792-5ab2-b8f8-794a1ac19c4b"
    assert UUID(uuid_of("web")) == uuid5(UUID("6a1c8f4e-3f0b-5d27-9b1e-0c7d52a9e4f3"), "web")


def test_what_has_no_address_is_written_as_it_was_before_there_were_any() -> None:
    """A host that is not up to date reads what another one wrote."""
    nics = json.loads(written(_GOOD))["hardware"]["nics"]
    assert [sorted(nic) for nic in nics] == [["id", "mac", "network"], ["address", "id", "mac", "network"]]
