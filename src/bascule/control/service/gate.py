"""The gate that every call goes through: who may is let in, and all of it is written down (R-OP-3).

What changes something is recorded in the transaction that changes it, so there is no change without its
line. What is refused changes nothing, and is recorded by itself. What only looks is counted, and a line for
each kind of look comes with the next ``settle``: a kill may lose seconds of looks, never a change or the
first refusal of its kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import RIGHTS, Caller, Right
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock
from bascule.ports.vault.audit import Deed

_DETAIL_MAX = 500
_NAME_MAX = 64
_NO_ROLE = "no-role"
_KINDS_MAX = 10_000
_LOOKED, _AGAIN = "looked", "refused again"


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks for what, in which vault (none: of the server), with which right, about whom."""

    caller: Caller
    what: str
    vault: str
    right: Right
    subject: str = ""


class Gate:
    """Lets calls in. Thread-safe."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._guard = Lock()
        self._counts: Counter[tuple[str, str, str, str, str]] = Counter()
        self._tally: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def writing(self, call: Call, *, is_own: bool = False) -> Iterator[Books]:
        """Let a call change something, in one transaction; an error undoes it all.

        What is the caller's own needs no role.
        """
        try:
            with self._catalog.writing() as books:
                if not is_own:
                    self.require(books, call)
                yield books
                books.deeds.note(call.vault, self._deed(call))
        except Refused as error:
            self.refused(call, error)
            raise
        with self._guard:
            self._tally[call.what, ""] += 1

    @contextmanager
    def reading(self, call: Call) -> Iterator[Books]:
        """Let a call look at one state of everything."""
        try:
            with self._catalog.reading() as books:
                self.require(books, call)
                yield books
        except Refused as error:
            self.refused(call, error)
            raise
        self._count(call, "", _LOOKED)

    def visible(self, caller: Caller) -> tuple[Vault, ...]:
        """Return the vaults that a caller may see."""
        with self._catalog.reading() as books:
            found = books.vaults.list(None if caller.is_owner else caller.name)
        self._count(Call(caller, "list-vaults", "", Right.READ), "", _LOOKED)
        return found

    def meant(self, caller: Caller, vault: str) -> Vault | None:
        """Return the vault that is meant in whatever case, of those that the caller may see."""
        with self._catalog.reading() as books:
            return books.vaults.meant(vault, None if caller.is_owner else caller.name)

    def require(self, books: Books, call: Call) -> None:
        """Refuse a caller who has not the right.

        Who has no role in a vault does not learn whether it exists (R-W-1).
        """
        if call.caller.is_owner:
            if call.vault:
                books.vaults.get(call.vault)
            return
        if not call.vault or call.right is Right.OWN:
            raise _not_permitted(f"{call.what} is for the owner of the server")
        try:
            role = books.assignments.get(call.vault, call.caller.name).role
        except Missing as error:
            who = f"{call.caller.name} has no role in a vault called {call.vault}"
            raise _not_permitted(who, _NO_ROLE) from error
        if call.right not in RIGHTS[role]:
            who = f"{call.caller.name} is a {role} of {call.vault}"
            raise _not_permitted(f"{who}, and {call.what} needs the right to {call.right}")

    def refused(self, call: Call, error: Refused) -> None:
        """Write down that a call was refused, here or before it came this far."""
        if error.code == _NO_ROLE:  # a stranger writes nothing into the record of the vault, if there is one
            call = replace(call, vault="", subject=call.vault[:_NAME_MAX])
        if self._count(call, error.code, _AGAIN) == 1:
            with self._catalog.writing() as books:
                books.deeds.note(call.vault, self._deed(call, error.code, error.message))

    def seen(self, call: Call) -> None:
        """Count a call that was let in elsewhere and changed nothing."""
        self._count(call, "", _LOOKED)

    def tally(self) -> tuple[tuple[tuple[str, str], int], ...]:
        """Return how often what was called since the start, and with which code it was refused."""
        with self._guard:
            return tuple(sorted(self._tally.items()))

    def settle(self) -> None:
        """Write down what was only counted."""
        with self._guard:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        with self._catalog.writing() as books:
            for (vault, who, what, code, detail), times in sorted(counts.items()):
                unsaid = times - (detail == _AGAIN)  # the first of its kind has its own line
                if unsaid:
                    deed = Deed(self._clock.now(), who, what, "", code, f"{detail}, {unsaid} times")
                    books.deeds.note(vault, deed)

    def _count(self, call: Call, code: str, detail: str) -> int:
        kind = (call.vault, call.caller.name, call.what, code, detail)
        with self._guard:
            self._counts[kind] += 1
            self._tally[call.what, code] += 1
            times, kinds = self._counts[kind], len(self._counts)
        if kinds > _KINDS_MAX:
            self.settle()
        return times

    def _deed(self, call: Call, code: str = "", detail: str = "") -> Deed:
        return Deed(self._clock.now(), call.caller.name, call.what, call.subject, code, detail[:_DETAIL_MAX])


def _not_permitted(why: str, code: str = "not-permitted") -> Refused:
    return Refused(why, cure="ask the owner of the server for a role", code=code)
