"""``$filter``: comparisons joined by *and*, over the words that a list knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .asking import Ask
from .errors import TurnedAway

_TERM = re.compile(r"\s*\(?\s*([A-Za-z]+)\s+(eq|ne|ge|le|gt|lt)\s+'([^']{0,200})'\s*\)?\s*", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_TERMS_MAX = 10
_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ge": lambda a, b: a >= b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "lt": lambda a, b: a < b,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of each thing of a list."""

    terms: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(cls, ask: Ask, words: tuple[str, ...]) -> Filter:
        """Return the filter of a request, or refuse one that says what nobody knows."""
        said = ask.query.get("$filter", "").strip()
        if not said:
            return cls()
        known = {word.casefold() for word in words}
        terms: list[tuple[str, str, str]] = []
        for term in _AND.split(said)[: _TERMS_MAX + 1]:
            found = _TERM.fullmatch(term)
            if found is None or found[1].casefold() not in known or len(terms) == _TERMS_MAX:
                raise TurnedAway(
                    f"$filter cannot be {term[:100]!r}",
                    cure=f"join by 'and' comparisons of {', '.join(words)}, as {words[0]} eq 'value'",
                    code="bad-filter",
                )
            terms.append((found[1].casefold(), found[2].casefold(), found[3].casefold()))
        return cls(tuple(terms))

    def is_below(self, word: str, value: str) -> bool:
        """Is a value of a word too small, and so each that is smaller?"""
        least = [said for name, how, said in self.terms if name == word and how in ("ge", "gt", "eq")]
        return any(value.casefold() < said for said in least)

    def allows(self, facts: Mapping[str, str]) -> bool:
        """Does a thing meet all of it?"""
        return all(_COMPARE[how](facts[word].casefold(), value) for word, how, value in self.terms)
