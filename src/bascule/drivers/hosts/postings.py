"""``ports.vault.postings`` beside ``SqlHosts``: a posting is an order, and a rank beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bascule.model.errors import Fenced
from bascule.model.generations import family, number_of
from bascule.model.items import Headway
from bascule.model.vault.commands import Json, Result
from bascule.ports.vault.postings import Posting, Standing

from .hosts import add_order, refuse_stranger
from .tables import Database, Rows


class SqlPostings:
    """Commands to hosts as jobs give them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, posting: Posting) -> Result | None:
        """Have a host do something, and return what became of it."""
        with self._database.write() as rows:
            refuse_stranger(rows, posting.host)
            _keep_rank(rows, posting)
            found = rows.execute(
                "SELECT sequence, result FROM orders WHERE host=? AND id=?", (posting.host, posting.id)
            ).fetchone()
            if found is None:
                arguments = posting.arguments
                add_order(rows, posting.host, posting.id, posting.verb, posting.group, arguments)
                return None
            sequence, text = found
            result = Result(**json.loads(text)) if text else None
            if result is not None and not result.is_done:
                # Its line stays, under another name, and the id is free for another try.
                rows.execute(
                    "UPDATE orders SET id=? WHERE host=? AND sequence=?",
                    (f"{posting.id}.{sequence}", posting.host, sequence),
                )
        return result

    def standing(self, host: str, id: str) -> Standing:
        """Return how a posting stands."""
        with self._database.read() as rows:
            seen = rows.execute("SELECT seen_at FROM sight WHERE host=?", (host,)).fetchone()
            mine = rows.execute("SELECT sequence, grp, headway FROM orders WHERE id=?", (id,)).fetchone()
            if mine is None:
                return Standing(seen[0] if seen else None)
            sequence, group, text = mine
            before = rows.execute(
                "SELECT verb FROM orders WHERE host=? AND sequence<? AND grp=? AND result IS NULL"
                " ORDER BY sequence",
                (host, sequence, group),
            ).fetchall()
        headway = Headway(**json.loads(text)) if text else None
        return Standing(seen[0] if seen else None, tuple(verb for (verb,) in before), headway)

    def said(self, host: str, group: str) -> Mapping[str, Json] | None:
        """Return what a host said last of the newest generation of a group that it has."""
        with self._database.read() as rows:
            later = f"{group}~"
            found = rows.execute(
                "SELECT grp, fields FROM facts WHERE host=? AND (grp=? OR substr(grp, 1, ?)=?)",
                (host, group, len(later), later),
            ).fetchall()
        of_group = [(number_of(name), text) for name, text in found if family(name) == group]
        if not of_group:
            return None
        fields: Mapping[str, Json] = json.loads(max(of_group)[1])
        return fields


def _keep_rank(rows: Rows, posting: Posting) -> None:
    rank = (posting.generation, posting.turn)
    if not posting.generation:
        return
    last = rows.execute("SELECT generation, turn FROM ranks WHERE item=?", (posting.item,)).fetchone()
    if last is not None and last > rank:
        raise Fenced(f"{posting.item} was given later orders than {posting.id}")
    if last != rank:
        rows.execute(_RANK, (posting.item, *rank))


_RANK = (
    "INSERT INTO ranks VALUES (?, ?, ?)"
    " ON CONFLICT (item) DO UPDATE SET generation=excluded.generation, turn=excluded.turn"
)
