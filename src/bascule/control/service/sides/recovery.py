"""Which host takes over and where points are kept, said once for a vault or a site.

A request to protect a machine names neither in the interface that clients know: what the other side is comes
from here, unless the machine's group says it.
"""

from __future__ import annotations

from bascule.model.errors import Missing
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.sides.pairing import EVERYWHERE, NOBODY, ContainerMapping, RecoverySettings, Target
from bascule.ports.catalog import Books

from ..gate import Call, Gate
from .containers import settled


class RecoveryDesk:
    """The settings of recovery sides; those of a vault have the name ``*``, the others that of their site."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def get(self, caller: Caller, vault: str, site: str) -> RecoverySettings:
        """Return what was said for a site, or for the vault; what was not is empty."""
        with self._gate.reading(Call(caller, "show-recovery-settings", vault, Right.READ, site)) as books:
            _check_site(books, vault, site)
            return RecoverySettings(vault, site, _said(books, vault, site))

    def put(self, caller: Caller, vault: str, site: str, target: Target) -> RecoverySettings:
        """Say it anew. Machines that are protected keep the route that they have."""
        with self._gate.writing(Call(caller, "put-recovery-settings", vault, Right.CHANGE, site)) as books:
            _check_site(books, vault, site)
            made = RecoverySettings(vault, site, settled(books, vault, target))
            books.recovery_settings.put(made)
            return made

    def remove(self, caller: Caller, vault: str, site: str) -> None:
        """Say nothing any more, or raise Missing."""
        with self._gate.writing(Call(caller, "remove-recovery-settings", vault, Right.CHANGE, site)) as books:
            books.recovery_settings.remove(vault, site)


def target_of(books: Books, vault: str, site: str, mapping: ContainerMapping | None) -> Target:
    """Return the target of machines of a site that are put into a group, or into none."""
    said = mapping.target if mapping else NOBODY
    return said.over(_said(books, vault, site)).over(_said(books, vault, EVERYWHERE))


def _said(books: Books, vault: str, site: str) -> Target:
    try:
        return books.recovery_settings.get(vault, site).target
    except Missing:
        return NOBODY


def _check_site(books: Books, vault: str, site: str) -> None:
    if site != EVERYWHERE:
        books.fabrics.get(vault, site)
