"""Samples in, medians and ratios out, as JSON lines."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from typing import Final

OURS: Final = "bascule"

# How many times better than the peer we mean to be. Below one: the peer does less, and we may cost more.
BARS: Final = {
    ("full", "restic"): 6.0,
    ("full", "borg"): 6.0,
    ("full", "benji"): 5.0,
    ("full", "qemu-img-zstd"): 3.0,
    ("full", "nbdcopy"): 1 / 1.35,
    ("ceiling", "no-write"): 0.85,
    ("stored", "restic"): 1 / 1.03,
    ("from-nbd", "nbdcopy"): 1 / 1.7,
    ("delta", "restic"): 15.0,
    ("delta", "borg"): 30.0,
    ("delta", "benji"): 20.0,
    ("delta-stored", "restic"): 15.0,
    ("restore", "restic"): 3.0,
    ("restore", "borg"): 5.0,
    ("restore", "qemu-img-zstd"): 1 / 1.1,
    ("sparse-256GiB", "sparse-16GiB"): 1 / 1.3,
    ("sparse-1TiB", "sparse-16GiB"): 1 / 1.3,
    ("open-10000", "open-10"): 0.5,
    ("serve-start", "0.1 s"): 1.0,
    ("serve-sequential", "qemu-nbd-raw"): 1.0,
    ("serve-cold-4k", "qemu-nbd-zstd-qcow2"): 0.55,
    ("serve-hot-4k", "qemu-nbd-zstd-qcow2"): 3.0,
    ("boot", "local-qcow2"): 1 / 1.05,
    ("memory-copy", "256 MiB"): 1.0,
    ("memory-restore", "256 MiB"): 1.0,
    ("memory-serve", "256 MiB"): 1.0,
    ("memory-sparse-copy", "256 MiB"): 1.0,
    ("memory-sparse-restore", "256 MiB"): 1.0,
    ("upload", "raw-put"): 0.95,
    ("write-median", "off"): 1 / 1.1,
    ("1tib-64mib-ms", "16gib"): 1 / 1.5,
    ("1gib", "local-boot"): 1 / 1.5,
    ("64gib", "local-boot"): 1 / 1.5,
    ("1tib", "local-boot"): 1 / 1.5,
    ("1tib-flat", "1gib"): 1 / 1.2,
    ("planned-downtime", "stop-and-boot"): 1 / 3,
    ("disk-during-hydration", "local-disk"): 0.5,
    ("list-per-cpu-second", "bare-fastapi"): 0.5,
}

# What a figure may be at most where there is nobody to compare with.
LIMITS: Final = {
    "commands-ms": 15.0,
    "5mib-ms": 30.0,
    "64mib-ms": 150.0,
    "lost-seconds-5s-median": 5.0,
    "lost-seconds-5s-worst": 10.0,
    "lost-seconds-1s-median": 2.0,
    "idle-100-percent": 5.0,
    "busy-memory": 256.0,
    "cli-start-ms": 500.0,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What is measured, in which unit, whether more of it is better, and by which benchmark."""

    name: str
    unit: str
    more_is_better: bool = False
    bench: str = "data"


@dataclass(slots=True)
class _Samples:
    values: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


class Report:
    """Collects samples of one figure from everyone, and compares everyone with us."""

    def __init__(self, figure: Figure, note: str = "") -> None:
        self.figure = figure
        self._note = note
        self._samples: dict[str, _Samples] = {}

    def add(self, who: str, value: float, cpu_s: float | None = None) -> None:
        """Keep one sample; ``cpu_s`` is told beside a time, because it moves less with a machine's load."""
        samples = self._samples.setdefault(who, _Samples())
        samples.values.append(value)
        if cpu_s is not None:
            samples.cpu_s.append(cpu_s)

    def of(self, who: str) -> list[float]:
        """Return the samples of one."""
        return self._samples[who].values

    def lines(self) -> list[str]:
        """Return a line for each peer, or one line against "-" when there is no peer."""
        ours = self._samples.get(OURS)
        peers = {who: samples for who, samples in self._samples.items() if who != OURS}
        if ours is None:
            return [self._alone(who, samples) for who, samples in peers.items()]
        if not peers:
            return [self._line("-", ours, None)]
        return [self._line(who, ours, samples) for who, samples in peers.items()]

    def _alone(self, who: str, samples: _Samples) -> str:
        """Tell of a peer when we were not measured; nothing is compared."""
        return self._json({"against": who, "value": None, "ratio": None} | _theirs(samples), samples)

    def _line(self, against: str, ours: _Samples, theirs: _Samples | None) -> str:
        value = statistics.median(ours.values)
        fields: dict[str, object] = {"against": against, "value": _short(value), "ratio": None}
        if ours.cpu_s:
            fields["cpu_s"] = _short(statistics.median(ours.cpu_s))
        if theirs is None and (limit := LIMITS.get(self.figure.name)) is not None:
            fields |= {"bar": limit, "met": value <= limit, "worst": _short(max(ours.values))}
        if theirs is not None:
            ratio = self._ratio(value, statistics.median(theirs.values))
            fields |= {"ratio": _short(ratio)} | _theirs(theirs)
            bar = BARS.get((self.figure.name, against))
            if bar is not None:
                fields |= {"bar": _short(bar), "met": ratio >= bar}
        return self._json(fields, ours)

    def _ratio(self, ours: float, theirs: float) -> float:
        """How many times better than the peer we are."""
        over, under = (ours, theirs) if self.figure.more_is_better else (theirs, ours)
        return over / under if under else float("inf")

    def _json(self, fields: dict[str, object], samples: _Samples) -> str:
        head: dict[str, object] = {"bench": self.figure.bench, "figure": self.figure.name}
        tail: dict[str, object] = {"unit": self.figure.unit, "rounds": len(samples.values)}
        note = {"note": self._note} if self._note else {}
        return json.dumps(head | fields | tail | note)


def _theirs(samples: _Samples) -> dict[str, object]:
    fields: dict[str, object] = {"against_value": _short(statistics.median(samples.values))}
    if samples.cpu_s:
        fields["against_cpu_s"] = _short(statistics.median(samples.cpu_s))
    return fields


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
