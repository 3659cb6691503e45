"""Figures as Prometheus reads them (R-OP-6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric. Each sample is its labels, as pairs, and a value; a ``counter`` never goes down."""

    name: str
    help: str
    samples: tuple[tuple[tuple[tuple[str, str], ...], float], ...]
    kind: str = "gauge"


def figure(name: str, help: str, value: float, kind: str = "gauge") -> Figure:
    """Return a figure of one value without labels."""
    return Figure(name, help, (((), value),), kind)


def written(figures: Iterable[Figure]) -> str:
    """Return figures in the text format."""
    return "".join(f"{line}\n" for one in figures for line in _lines(one))


def _lines(one: Figure) -> Iterator[str]:
    yield f"# HELP {one.name} {one.help}"
    yield f"# TYPE {one.name} {one.kind}"
    for labels, value in one.samples:
        said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
        yield f"{one.name}{{{said}}} {value!r}" if said else f"{one.name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
