"""A domain that is frozen at one instant with other machines, step by step.

libvirt has no instant for several domains, so all are suspended before the first of them is cut: the
instant is any moment at which all stood still. Should we die or stall in between, the keeper lets the domain
run; should it die too, a mark in the folder tells the next owner to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bascule.model.errors import Unavailable

from .connection import Domain, told
from .frozen import FrozenDomain
from .keeper import Keeper
from .states import let_run, runs


class FreezingDomain:
    """See ``ports.machines.Freezing``."""

    def __init__(
        self, domain: Domain, keeper: Keeper, folder: Path, take: Callable[[], FrozenDomain]
    ) -> None:
        self._domain = domain
        self._keeper = keeper
        self._mark = standing_in(folder)
        self._take = take
        self._frozen: FrozenDomain | None = None
        self._is_held = False

    def hold(self) -> None:
        """See Freezing."""
        if not runs(self._domain):
            return
        self._mark.touch()
        self._keeper.hold()
        self._is_held = True
        with told(self._domain.name()):
            self._domain.suspend()

    def cut(self) -> None:
        """See Freezing."""
        self._frozen = self._take()

    @property
    def is_held(self) -> bool:
        """Tell whether the machine may stand still because of us."""
        return self._is_held

    def release(self) -> None:
        """See Freezing. Where the daemon does not answer, the keeper lets the machine run when it does."""
        if not self._is_held:
            return
        was_standing = let_run(self._domain)
        self._keeper.free()
        self._is_held = False
        self._mark.unlink(missing_ok=True)
        if not was_standing:
            raise Unavailable(
                f"{self._domain.name()} ran before all machines of its group were frozen",
                cure="look whether the host is overloaded; the next point is tried as usual",
            )

    def show(self) -> FrozenDomain:
        """See Freezing."""
        assert self._frozen is not None, "show comes after cut"
        return self._frozen

    def cancel(self) -> None:
        """See Freezing."""
        with suppress(Unavailable):  # it ran all the same, or it is gone and that shows next
            self.release()
        if self._frozen is not None:
            self._frozen.drop()


def standing_in(folder: Path) -> Path:
    """Return the file that says that we are stopping the machine, should we and the keeper die of it."""
    return folder / "standing"
