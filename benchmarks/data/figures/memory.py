"""The peak memory of our processes, beside what a process may use."""

from __future__ import annotations

from typing import Final

from benchmarks.report import OURS, Figure, Report

from ..images import MIB

_MAY_USE_MIB: Final = 256


def memory(name: str, peak_bytes: int) -> Report:
    """Return the figure of one process's peak."""
    report = Report(Figure(name, "MiB"))
    report.add(OURS, peak_bytes / MIB)
    report.add(f"{_MAY_USE_MIB} MiB", _MAY_USE_MIB)
    return report
