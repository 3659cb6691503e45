"""The names of a group's generations: ``web``, ``web~2``, ``web~3``."""

from __future__ import annotations

import re

_GENERATION = re.compile(r"(?P<group>.+?)~(?P<number>[1-9][0-9]*)")


def family(log: str) -> str:
    """Return the name of the group that a log is a generation of."""
    found = _GENERATION.fullmatch(log)
    return found["group"] if found else log


def number_of(log: str) -> int:
    """Return which generation a log is, counted from 1."""
    found = _GENERATION.fullmatch(log)
    return int(found["number"]) if found else 1


def following(log: str) -> str:
    """Return the name of the generation after one."""
    return f"{family(log)}~{number_of(log) + 1}"
