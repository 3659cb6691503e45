"""State machines as tables: what may be asked, and the pictures in the documents, are computed from them.

An item stands on several axes at once, each a small table. A word that no row of a table names does not
concern that table. A word that some row names is accepted only in the states that have a row for it; so a
row that leads to where it came from is a guard: a disk is not removed from under a test that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from bascule.model.errors import Refused

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Machine(Generic[State]):
    """One axis: states, and which word leads from one to another."""

    name: str
    start: State
    table: Mapping[tuple[State, StrEnum], State]

    def concerns(self, word: StrEnum) -> bool:
        """Is there a row for a word in any state?"""
        return any(named is word for _, named in self.table)

    def accepts(self, state: State, word: StrEnum) -> bool:
        """May a word come in a state?"""
        return (state, word) in self.table or not self.concerns(word)

    def after(self, state: State, word: StrEnum) -> State:
        """Return the state after a word, or refuse it."""
        if not self.accepts(state, word):
            states = sorted(str(known) for known, named in self.table if named is word)
            raise Refused(
                f"{self.name} is {state}: no {word} now",
                cure=f"it can be when {self.name} is {' or '.join(states)}",
                code="not-allowed",
            )
        return self.table.get((state, word), state)

    def diagram(self) -> str:
        """Return the table as a Mermaid picture; guards are left out of it and named below."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.name}"]
        for (state, word), after in self.table.items():
            if state is not after:
                lines.append(f"    {state.name} --> {after.name}: {word.name}")
        return "\n".join(lines)
