"""What jobs have hosts do, and what hosts said: all that a vault's sites ask of the vault's door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bascule.model.items import Headway
from bascule.model.vault.commands import Json, Result


@dataclass(frozen=True, slots=True)
class Posting:
    """Something that a host is to do for a job; ``id`` is the same whenever the job asks for it.

    ``item`` is the item whose ``generation`` and ``turn`` are meant, whichever host it is about. Generation 0
    is for what only looks, beside whatever job goes on.
    """

    host: str
    id: str
    verb: str
    group: str
    item: str
    generation: int
    turn: int
    arguments: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a posting stands that has no result yet.

    ``seen_at`` is when its host was heard of last, ``before`` the verbs of the group that the host carries
    out first, ``headway`` how far it said that it is with this one.
    """

    seen_at: float | None
    before: tuple[str, ...] = ()
    headway: Headway | None = None


class Postings(Protocol):
    """Commands to hosts as jobs give them. Thread-safe, and durable on return.

    Raises Unavailable if the place of it all does not answer.
    """

    def ask(self, posting: Posting) -> Result | None:
        """Have a host do something, once for an id, and return what became of it; None while that is open.

        What was not done is told once: asked for again, it is given to the host again. Raises Fenced if a
        posting of a later generation or turn of the item was seen, Missing for a host that is not known,
        Refused for one that is revoked.
        """

    def standing(self, host: str, id: str) -> Standing:
        """Return how a posting stands, for somebody who waits for it."""

    def said(self, host: str, group: str) -> Mapping[str, Json] | None:
        """Return what a host said last of a group, None if nothing or that it is gone.

        Of several generations of a group that it has the newest one is meant.
        """
