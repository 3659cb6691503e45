"""The end of a group: whoever writes it is fenced for good, and its name is free for whoever begins anew.

A log cannot be deleted, for a writer that slept would begin it again where it was. So it ends with an entry
of its own, behind which there is nothing to go on from: the next session starts from nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from bascule.data.store.access import Access
from bascule.data.store.format.container import Builder
from bascule.data.store.format.entries import RETIRED, Entry
from bascule.data.store.log import ENTRY_BYTES, Beginning, Head, Log, begin
from bascule.data.store.points import POINTS
from bascule.model.errors import Missing

from . import reserve


def retire(access: Access, group: str, name: Callable[[Entry], Entry], salt: Callable[[], bytes]) -> int:
    """End a log, and return the number of the entry that says so; of one that has ended, the same again.

    ``name`` fills in whose entry it is and when it was written.
    """
    log = Log(access, group, POINTS, reserve.READERS_LEAVE)
    head = log.head()
    if head is None:
        raise Missing(f"there is no group {group}")
    if head.entry.kind == RETIRED:
        return head.entry.number

    def last(head: Head[Entry] | None) -> Entry:
        assert head is not None, "a log that is there does not go"
        number = head.entry.number + 1
        return name(Entry(group, number, RETIRED, session="", writer="", previous=head.digest, nonce=""))

    with closing(Builder(access.sealer, ENTRY_BYTES)) as builder:
        return begin(Beginning(log, builder, salt), last).entry.number
