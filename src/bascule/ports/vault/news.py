"""What the vault's door tells the rest of the vault: that a host has said something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class News:
    """A host has said something new of a group, or what became of an order. It is kept already."""

    group: str = ""
    order: str = ""


Tell = Callable[[News], None]
"""Hears of news, in any thread; raises nothing. Who is told nothing finds it out later, by looking."""
