"""From what is asked to what machines become; what nobody asked for is as it was at the point (R-FO-4).

What is asked comes in layers, the command above what was kept before it: the first one that says anything
of a thing decides it.

A recovered machine keeps its number and the addresses of its cards, whatever it is called here: by these a
DHCP server knows it again, and a guest its own cards; by that one what is licensed in the guest knows its
machine. A copy for a test gets others, for it may come to stand beside the original, and hangs loose. What a
guest has written down for itself, such as an address of its own, is on its disks, and nobody here changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bascule.data.store import MachineInfo
from bascule.model.errors import Refused
from bascule.model.machines import Hardware, MachineDefinition, Nic, mac_of, uuid_of
from bascule.model.notes import from_text

from .asked import EVERY, KEEP, NEW, NOTHING, Asked, Card, Wanted


@dataclass(frozen=True, slots=True)
class Shape:
    """What recovered machines are to be. ``suffix`` is added to names; copies with one are for a test."""

    layers: tuple[Asked, ...] = ()
    suffix: str = ""

    @property
    def asked(self) -> Asked:
        """Return what is asked now, above all that was kept."""
        return self.layers[0] if self.layers else NOTHING

    def of(self, machine: MachineInfo) -> MachineDefinition:
        """Return what a machine of a point is to be, without its disks."""
        found = from_text(machine.definition).machine
        known = found.hardware if found else Hardware()
        before = found.name if found else machine.name
        name = next((wanted.name for wanted in self._asked(machine.id) if wanted.name), before) + self.suffix
        every = [*self._asked(machine.id, EVERY)]
        hardware = replace(
            known,
            cpus=next((wanted.cpus for wanted in every if wanted.cpus), known.cpus),
            memory_mib=next((wanted.memory_mib for wanted in every if wanted.memory_mib), known.memory_mib),
            nics=tuple(self._card(machine.id, before, name, nic) for nic in known.nics),
            uuid=self._number(machine.id, known.uuid or uuid_of(before), name),
        )
        return MachineDefinition(name, hardware, ())

    def _asked(self, *machines: str) -> Iterator[Wanted]:
        return (layer.of(name) for layer in self.layers for name in machines)

    def _number(self, machine: str, was: str, name: str) -> str:
        said = next((wanted.uuid for wanted in self._asked(machine) if wanted.uuid), "")
        said = said or (NEW if self.suffix else KEEP)
        new = uuid_of(f"{was}/{name}")
        number = {KEEP: was, NEW: new}.get(said, said.lower())
        return "" if number == uuid_of(name) else number

    def _card(self, machine: str, before: str, name: str, nic: Nic) -> Nic:
        cards = [wanted.cards.get(nic.id, Card()) for wanted in self._asked(machine)]
        said = _first(card.mac for card in cards) or (NEW if self.suffix else KEEP)
        was = nic.mac or mac_of(before, nic.id)
        mac = {KEEP: was, NEW: mac_of(was + self.suffix, nic.id)}.get(said, said)
        network = self._network(cards, nic)
        address = _first(card.address for card in cards)
        if address is None:
            address = nic.address if network == nic.network else ""
        # Left out where the host takes that one by itself.
        return Nic(nic.id, network, "" if mac == mac_of(name, nic.id) else mac, address)

    def _network(self, cards: list[Card], nic: Nic) -> str:
        for layer, card in zip(self.layers, cards, strict=True):
            said = _first((card.network, layer.network, layer.networks.get(nic.network)))
            if said is not None:
                return said
        return "" if self.suffix else nic.network


def _first(said: Iterable[str | None]) -> str | None:
    return next((word for word in said if word is not None), None)


def refuse_unknown(asked: Asked, machines: Iterable[MachineInfo]) -> None:
    """Refuse what is asked of a machine or a card that a point does not have."""
    cards = {}
    for machine in machines:
        found = from_text(machine.definition).machine
        cards[machine.id] = [nic.id for nic in found.hardware.nics] if found else []
    for name, wanted in asked.machines.items():
        if name != EVERY and name not in cards:
            raise Refused(f"the point has no machine {name}", cure=f"it has {', '.join(cards)}")
        for card in wanted.cards:
            if card not in cards[name]:
                raise Refused(
                    f"{name} has no network card {card} at the point",
                    cure=f"it has {', '.join(cards[name]) or 'none'}",
                )
