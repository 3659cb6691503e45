"""``bascule provider run``, killed again and again: ``python -m …kills.providing DEATHS STRIDE WORDS…``.

What follows is the command line of the product, and what runs is its code. It dies by SIGKILL in the middle
of what its vault has it do: before each so-and-so-many-eth step of each errand (``lab.sites.steps``), once
at each place. Machines and point servers outlive it, as they do on a host. A stride of 0 kills nobody.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.model.vault.commands import Command, Result
from bascule.replication.uplink.errands import Hands
from lab.sites import steps

from .dying import Deaths, live_again_and_again


class Counted:
    """Counts steps while errands go on, and dies at some of them."""

    def __init__(self, deaths: Deaths, stride: int) -> None:
        self._deaths = deaths
        self._stride = stride
        self._under_way: dict[str, itertools.count[int]] = {}

    def listen(self) -> None:
        steps.listen(self._take)
        plain = Hands._result

        def result(hands: Hands, command: Command) -> Result:
            self._under_way[f"{command.verb} {command.id}"] = itertools.count(1)
            try:
                return plain(hands, command)
            finally:
                del self._under_way[f"{command.verb} {command.id}"]

        Hands._result = result

    def _take(self, _what: str) -> None:
        for errand, count in list(self._under_way.items()):
            number = next(count)
            if number % self._stride == 0:
                self._deaths.die_at(f"{errand} {number}")


def providing(deaths: Path, stride: int, words: list[str]) -> Callable[[], int]:
    def live() -> int:
        if stride:
            Counted(Deaths(deaths), stride).listen()
        return run(words, SystemTools(owns_process=True))

    return live


if __name__ == "__main__":
    sys.exit(live_again_and_again(providing(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
