"""Recovery points as the recovery side has them now: what is listed can be started (R-RP-3)."""

from __future__ import annotations

from bascule.control import meant
from bascule.model.errors import Unavailable, Underway
from bascule.model.vault.access import Caller, Right
from bascule.ports.chance import Clock, Ids
from bascule.ports.sites import Order, RecoveryPoint, RecoverySite

from ..gate import Call, Gate

_WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.1


class PointDesk:
    """Asks the host that would start the machine; a list of yesterday would offer what is gone."""

    def __init__(self, gate: Gate, recovery: RecoverySite, clock: Clock, ids: Ids) -> None:
        self._gate = gate
        self._recovery = recovery
        self._clock = clock
        self._ids = ids

    def list(self, caller: Caller, vault: str, item: str) -> tuple[RecoveryPoint, ...]:
        """Return the points of an item (its id or name), newest first; Unavailable if its host is away."""
        with self._gate.reading(Call(caller, "list-points", vault, Right.READ, item)) as books:
            found = meant.item(books, vault, item)
        order = Order(vault, found.id, 0, 0, f"look{self._ids.random(8).hex()}/points")
        until = self._clock.monotonic() + _WAIT_SECONDS
        while True:
            try:
                return self._recovery.points(order)
            except Underway as error:
                if self._clock.monotonic() > until:
                    raise Unavailable(
                        f"the recovery side of {found.name} does not tell which points it has",
                        cure="see that the host's provider runs, and ask again",
                    ) from error
            self._clock.sleep(_LOOK_SECONDS)
