"""Which commands of the vault were carried out, and what became of those whose result it has not confirmed.

A command becomes a wish that names the command, durably; then a line of the journal, durably; then the
vault hears of it. Killed before the wish, it is delivered again; between wish and journal, it is delivered
again and found in the wish; after the journal, its result is told again, of which the vault keeps the
first.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bascule.model.errors import Damaged
from bascule.model.vault.commands import Result
from bascule.replication.provider.folder import put


class Journal:
    """The commands of one vault. Use from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done, self.results = _read(path)

    def add(self, result: Result) -> None:
        """Say that a command was carried out, or refused."""
        self.done, self.results = result.sequence, (*self.results, result)
        self._write()

    def accept(self, sequence: int) -> None:
        """Say that a command was heard whose result comes later, from elsewhere."""
        self.done = sequence
        self._write()

    def confirm(self, results: tuple[Result, ...]) -> None:
        """Let go of results that the vault has."""
        if not set(results) & set(self.results):
            return
        self.results = tuple(one for one in self.results if one not in results)
        self._write()

    def _write(self) -> None:
        kept = {"version": 1, "done": self.done, "results": [asdict(one) for one in self.results]}
        put(self._path, json.dumps(kept).encode(), durable=True)


def _read(path: Path) -> tuple[int, tuple[Result, ...]]:
    try:
        found = json.loads(path.read_bytes())
        return int(found["done"]), tuple(Result(**one) for one in found["results"])
    except FileNotFoundError:
        return 0, ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} cannot be read: {error!r}", cure="bring it back from a copy; or register anew"
        ) from error
