"""Stores that a provider's items share: opened for who comes first, closed behind who leaves last.

A store that failed is left by all of them, and so nothing of this process is in the way when its drive is
taken out and another one is put in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bascule.front.cli.tools import Tools
from bascule.front.cli.words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.store import Vault


class _Lent:
    """One store, and how many have it."""

    def __init__(self, vault: Vault, stack: ExitStack) -> None:
        self.vault = vault
        self.stack = stack
        self.users = 0


class Lending:
    """The stores of one process. Thread-safe."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._guard = threading.Lock()
        self._lent: dict[tuple[str, str], _Lent] = {}

    @contextmanager
    def vault(self, place: str, key_file: str) -> Iterator[Vault]:
        """Lend the vault at a place for as long as the block takes."""
        lent = self._take(place, key_file)
        try:
            yield lent.vault
        finally:
            self._give_back(place, key_file)

    def _take(self, place: str, key_file: str) -> _Lent:
        with self._guard:
            if (place, key_file) not in self._lent:
                stack = ExitStack()
                vault, _ = stack.enter_context(opened(self._tools, place, KeyOptions(Path(key_file))))
                self._lent[place, key_file] = _Lent(vault, stack)
            lent = self._lent[place, key_file]
            lent.users += 1
            return lent

    def _give_back(self, place: str, key_file: str) -> None:
        with self._guard:
            lent = self._lent[place, key_file]
            lent.users -= 1
            if not lent.users:
                del self._lent[place, key_file]
                lent.stack.close()
