"""What ``bascule replica status`` shows: machines that were taken over, and tests that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bascule.front.cli.printing.tables import table
from bascule.front.cli.words.quantities import moment_text
from bascule.model.machines import MachineDefinition

from .shaping import cards_text

if TYPE_CHECKING:
    from bascule.recovery.site import Site

_MACHINE = ("point", "kind", "phase", "machine", "power", "cpus", "memory", "cards")
_TEST = ("tested", "cleaned up", "notes")

Row = Mapping[str, str]


def taken_over(site: Site) -> list[Row]:
    """Return a row for each machine of each record."""
    from bascule.recovery.record import Kind

    known = set(site.hypervisor.machines())
    rows: list[Row] = []
    for group in site.records.groups():
        for record in filter(None, (site.records.find(group, kind) for kind in Kind)):
            for member in record.members:
                name = member.definition.name
                power = site.hypervisor.power(name).value if name in known else "not defined"
                at = (f"{group}/{record.number}", record.kind.value, record.phase.value)
                values = (*at, name, power, *_hardware(member.definition))
                rows.append(dict(zip(_MACHINE, values, strict=True)))
    return rows


def _hardware(definition: MachineDefinition) -> tuple[str, str, str]:
    hardware = definition.hardware
    return str(hardware.cpus), f"{hardware.memory_mib} MiB", cards_text(definition)


def tests_that_count(site: Site) -> list[Row]:
    """Return the tests of failover that were cleaned up, oldest first in each group."""
    from bascule.recovery.rehearsal import rehearsed

    return [
        {"point": f"{group}/{test.point}", "cleaned_at": moment_text(test.at), "notes": test.notes}
        for group in site.records.names()
        for test in rehearsed(site, group)
    ]


def status_lines(machines: Sequence[Row], tests: Sequence[Row]) -> list[str]:
    """Return both as text."""
    rows = [tuple(row.values()) for row in machines]
    lines = [*table(_MACHINE, rows)] if rows else ["Nothing was taken over here."]
    if tests:
        lines += ["", *table(_TEST, [tuple(row.values()) for row in tests])]
    return lines
