"""What machines become of what is asked (R-FO-4)."""

from __future__ import annotations

import pytest

from bascule.data.store import MachineInfo
from bascule.model.errors import Refused
from bascule.model.machines import Hardware, MachineDefinition, Nic, mac_of, uuid_of
from bascule.model.notes import MachineNote, to_text
from bascule.recovery.shapes.asked import EVERY, KEEP, NEW, Asked, Card, Wanted
from bascule.recovery.shapes.shape import Shape, refuse_unknown

MAC = "52:54:00:00:00:01"
HARDWARE = Hardware(2, 256, nics=(Nic("net0", "lan"), Nic("net1", "wan", MAC)))
DB = MachineInfo("db-id", "db", to_text(MachineNote(MachineDefinition("db", HARDWARE, ()))), ())


def cards(shape: Shape) -> list[tuple[str, str]]:
    """Return of each card the network and the address that it gets on any host."""
    made = shape.of(DB)
    return [(nic.network, nic.mac or mac_of(made.name, nic.id)) for nic in made.hardware.nics]


def one(**wanted: Card) -> Asked:
    return Asked({"db-id": Wanted(cards=wanted)})


def test_what_nobody_asked_for_is_as_it_was() -> None:
    assert Shape().of(DB) == MachineDefinition("db", HARDWARE, ())


def test_what_is_asked_of_one_machine_comes_before_what_is_asked_of_all() -> None:
    asked = Asked({"db-id": Wanted(cpus=8), EVERY: Wanted(cpus=1, memory_mib=64)})
    hardware = Shape((asked,)).of(DB).hardware
    assert (hardware.cpus, hardware.memory_mib) == (8, 64)


def test_the_command_comes_before_what_was_kept() -> None:
    kept = Asked({"db-id": Wanted("kept", 8, 64, {"net0": Card("kept"), "net1": Card("kept")})})
    command = Asked({"db-id": Wanted(cpus=1, cards={"net1": Card("said")})}, {"lan": "mapped"})
    made = Shape((command, kept)).of(DB)
    assert (made.name, made.hardware.cpus, made.hardware.memory_mib) == ("kept", 1, 64)
    assert [nic.network for nic in made.hardware.nics] == ["mapped", "said"]


def test_a_card_comes_before_all_cards_and_these_before_networks() -> None:
    asked = Asked({"db-id": Wanted(cards={"net0": Card("")})}, {"lan": "x", "wan": "y"})
    assert [network for network, _ in cards(Shape((asked,)))] == ["", "y"]
    all_of_them = Asked(asked.machines, asked.networks, "one")
    assert [network for network, _ in cards(Shape((all_of_them,)))] == ["", "one"]


def test_a_recovered_card_keeps_its_address_under_any_name() -> None:
    """A DHCP server knows it by that, and so does the guest."""
    renamed = Shape((Asked({"db-id": Wanted("other")}),))
    assert cards(renamed) == [("lan", mac_of("db", "net0")), ("wan", MAC)]


def test_a_copy_for_a_test_hangs_loose_and_has_other_addresses() -> None:
    before = {mac for _, mac in cards(Shape())}
    copied = cards(Shape(suffix="-test"))
    assert [network for network, _ in copied] == ["", ""]
    assert not before & {mac for _, mac in copied}
    asked = one(net0=Card("lan", KEEP), net1=Card(mac="52:54:00:00:00:02"))
    assert cards(Shape((asked,), suffix="-test")) == [
        ("lan", mac_of("db", "net0")),
        ("", "52:54:00:00:00:02"),
    ]


def test_a_new_address_is_new_each_time_and_the_same_for_who_asks_again() -> None:
    shape = Shape((one(net0=Card(mac=NEW), net1=Card(mac=NEW)),))
    first = cards(shape)
    assert first == cards(shape)
    assert {mac for _, mac in first}.isdisjoint({mac_of("db", "net0"), MAC})
    again = MachineInfo("db-id", "db", to_text(MachineNote(shape.of(DB))), ())
    assert [nic.mac for nic in shape.of(again).hardware.nics] != [mac for _, mac in first]


UUID = "8adb93b9-8792-5ab2-b8f8-794a1ac19c4b"


def number(shape: Shape, machine: MachineInfo = DB) -> str:
    """Return the number by which the guest knows its machine on any host."""
    made = shape.of(machine)
    return made.hardware.uuid or uuid_of(made.name)


def test_a_recovered_machine_keeps_its_number_under_any_name_and_brings_it_home() -> None:
    """What is licensed in the guest knows its machine by that."""
    shape = Shape((Asked({"db-id": Wanted("other")}),))
    assert number(shape) == number(Shape()) == uuid_of("db")
    over_there = MachineInfo("db-id", "other", to_text(MachineNote(shape.of(DB))), ())
    assert number(Shape(), over_there) == uuid_of("db")
    home = Shape((Asked({"db-id": Wanted("db")}),)).of(over_there)
    assert home.hardware.uuid == "", "it is the one that its name has"


def test_a_copy_for_a_test_has_another_number_and_any_machine_the_one_that_is_asked() -> None:
    copied = number(Shape(suffix="-test"))
    assert copied == number(Shape(suffix="-test")) != uuid_of("db")
    new = number(Shape((Asked({"db-id": Wanted(uuid=NEW)}),)))
    assert new not in (uuid_of("db"), copied)
    assert number(Shape((Asked({"db-id": Wanted(uuid=KEEP)}),), suffix="-test")) == uuid_of("db")
    assert number(Shape((Asked({"db-id": Wanted(uuid=UUID.upper())}),))) == UUID
    kept = Asked({"db-id": Wanted(uuid=NEW)})
    assert number(Shape((Asked({"db-id": Wanted(uuid=KEEP)}), kept))) == uuid_of("db")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked({"dbb": Wanted(cpus=1)}), "no machine dbb"),
        (one(net7=Card("lan")), "no network card net7"),
    ],
)
def test_what_the_point_does_not_have_is_refused_with_what_it_has(asked: Asked, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        refuse_unknown(asked, (DB,))
    assert refused.value.cure in ("it has db-id", "it has net0, net1")


def test_an_address_is_asked_for_or_stays_with_its_network() -> None:
    nic = Nic("net0", "user", address="10.1.2.9/24")
    definition = MachineDefinition("db", Hardware(nics=(nic,)), ())
    leased = MachineInfo("db-id", "db", to_text(MachineNote(definition)), ())

    def address(*layers: Asked, suffix: str = "") -> str:
        return Shape(layers, suffix).of(leased).hardware.nics[0].address

    assert address() == "10.1.2.9/24"
    assert address(Asked(networks={"user": "lan"})) == address(suffix="-test") == ""
    assert address(one(net0=Card("lan", address="10.1.2.7/24"))) == "10.1.2.7/24"
    assert address(one(net0=Card(address=""))) == ""
