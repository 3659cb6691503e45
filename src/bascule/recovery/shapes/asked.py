"""What somebody asks recovered machines to be, and how that is written down.

It says only what is to be different. ``None`` and empty are what nobody asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

EVERY = ""
"""Stands for all machines of a group, where a machine is not named."""

KEEP, NEW = "keep", "new"


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: an empty network is a cable that hangs loose.

    ``mac`` is ``keep``, ``new`` or an address. ``address`` is of the guest, and the host has to hand it out.
    """

    network: str | None = None
    mac: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine, and its cards by their names. ``uuid`` is ``keep``, ``new`` or a number."""

    name: str = ""
    cpus: int = 0
    memory_mib: int = 0
    cards: Mapping[str, Card] = field(default_factory=dict)
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The machines of a group by their names in the store.

    ``networks`` says into which network of this host cards go that were in one of the other side, ``network``
    into which all of them go.
    """

    machines: Mapping[str, Wanted] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None

    def of(self, machine: str) -> Wanted:
        """Return what is asked of a machine by its name."""
        return self.machines.get(machine, Wanted())

    @property
    def sizes(self) -> Asked:
        """Return of all that only how many processors and how much memory."""
        sized = {name: replace(wanted, name="", cards={}, uuid="") for name, wanted in self.machines.items()}
        return Asked(sized)

    def over(self, before: Asked) -> Asked:
        """Return what is asked if this comes on top of what was asked before."""
        names = [*before.machines, *(name for name in self.machines if name not in before.machines)]
        machines = {name: _machine(self.of(name), before.of(name)) for name in names}
        network = before.network if self.network is None else self.network
        return Asked(machines, {**before.networks, **self.networks}, network)


NOTHING = Asked()
"""Everything is to be as it was."""


def _machine(now: Wanted, before: Wanted) -> Wanted:
    names = [*before.cards, *(name for name in now.cards if name not in before.cards)]
    cards = {name: _card(now.cards.get(name, Card()), before.cards.get(name, Card())) for name in names}
    return Wanted(
        now.name or before.name,
        now.cpus or before.cpus,
        now.memory_mib or before.memory_mib,
        cards,
        now.uuid or before.uuid,
    )


def _card(now: Card, before: Card) -> Card:
    return Card(
        before.network if now.network is None else now.network,
        before.mac if now.mac is None else now.mac,
        before.address if now.address is None else now.address,
    )


def fields_of(asked: Asked) -> dict[str, Any]:
    """Return what is asked as JSON has it."""
    return asdict(asked)


def asked_in(fields: dict[str, Any]) -> Asked:
    """Return what ``fields_of`` wrote; KeyError, TypeError or AttributeError if it did not."""
    machines = {name: _wanted_in(found) for name, found in fields["machines"].items()}
    return Asked(machines, dict(fields["networks"]), fields["network"])


def _wanted_in(fields: dict[str, Any]) -> Wanted:
    cards = {name: Card(**found) for name, found in fields["cards"].items()}
    # What was kept before there were numbers says nothing of them.
    return Wanted(fields["name"], fields["cpus"], fields["memory_mib"], cards, fields.get("uuid", ""))
