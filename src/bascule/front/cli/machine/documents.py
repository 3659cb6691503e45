"""A machine as JSON and as lines. Its definition is spelled as it is kept: ``define --file`` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bascule.front.cli.printing.tables import pairs, table
from bascule.model.machines import MachineDefinition, Power, written

Found = tuple[MachineDefinition, Power]


def machine_document(definition: MachineDefinition, power: Power) -> dict[str, object]:
    """Describe a machine."""
    return {"name": definition.name, "power": power.value, "definition": json.loads(written(definition))}


def machine_lines(definition: MachineDefinition, power: Power) -> Iterator[str]:
    """Describe a machine to a person."""
    hardware = definition.hardware
    fields = [
        ("name", definition.name),
        ("power", power.value),
        ("processors", str(hardware.cpus)),
        ("memory", f"{hardware.memory_mib} MiB"),
        ("firmware", hardware.firmware.value),
        *((f"disk {disk.id}", f"{disk.words} ({disk.format})") for disk in definition.disks),
        *(
            (f"card {nic.id}", f"{nic.network or 'plugged in nowhere'} {nic.mac} {nic.address}".rstrip())
            for nic in hardware.nics
        ),
    ]
    if hardware.boot:
        fields.append(("kernel", hardware.boot.kernel))
    return pairs(fields)


def machines_table(found: list[Found]) -> Iterator[str]:
    """List machines to a person."""
    rows = [
        (
            definition.name,
            power.value,
            str(definition.hardware.cpus),
            f"{definition.hardware.memory_mib} MiB",
            ",".join(disk.id for disk in definition.disks),
            ",".join(nic.network or "-" for nic in definition.hardware.nics),
        )
        for definition, power in found
    ]
    return table(("NAME", "POWER", "CPUS>", "MEMORY>", "DISKS", "NETWORKS"), rows)
