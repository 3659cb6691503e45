"""Who a machine belongs to: the generations of a replication group.

Each time its machines change sides, a group gets a new log: ``web``, ``web~2``, ``web~3`` and so on, each
a branch of the one before from the point at which it was left. Whoever takes machines over first fences the
log they are written to, so that whoever wrote it can publish nothing more, and then begins the next
generation. A log is begun by creating its first entry if it is absent: of two who take over at one
moment, one finds it there and gives up. So at any time one side at most owns the newest generation, and the
store alone says which (R-FO-7). A failover that is cancelled abandons its generation: a fence in it says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from bascule.data.store import Vault
from bascule.model.errors import Missing, Refused
from bascule.model.generations import family, following, number_of

_ABANDONED, _HANDED, _RETURNED = "abandoned by ", "handed over by ", "given back by "
_SETTLED = "committed failover by "


@dataclass(frozen=True, slots=True)
class Lineage:
    """A group and its generations, oldest first; the first bears the group's own name.

    ``newest`` is the log to which the machines are written now. A later one was abandoned.
    """

    group: str
    logs: tuple[str, ...]
    newest: str

    @property
    def next(self) -> str:
        """Return the name of a log that nobody began."""
        return following(self.logs[-1])


def lineage(vault: Vault, group: str) -> Lineage:
    """Return the generations of a group, or of the group that ``group`` is a generation of."""
    name = family(group)
    logs = sorted((log for log in vault.groups() if family(log) == name), key=number_of)
    if not logs:
        raise Missing(f"there is no group {name}", cure="its groups: " + ", ".join(vault.groups()))
    return Lineage(name, tuple(logs), next(log for log in reversed(logs) if not _is_abandoned(vault, log)))


def _is_abandoned(vault: Vault, log: str) -> bool:
    head = vault.log(log).head()
    return head is not None and number_of(log) > 1 and head.entry.writer.startswith(_ABANDONED)


def abandon(vault: Vault, log: str, who: str) -> None:
    """End a generation whose machines are no more: the one before is the newest again."""
    vault.begin(log, writer=f"{_ABANDONED}{who}", urgent=True).close()


def begun_by(vault: Vault, log: str) -> str:
    """Return who began a log, empty if nobody did."""
    begun = vault.beginning(log)
    return begun.writer if begun else ""


def refuse_if_left(vault: Vault, log: str) -> None:
    """Refuse a log that its machines have left for a later generation."""
    newest = lineage(vault, log).newest
    if newest != log:
        raise Refused(
            f"the machines of {log} are written to {newest} by now", cure=f"name {newest} in place of {log}"
        )


def hand_over(vault: Vault, log: str, who: str) -> None:
    """Say in a log that its machines are off, and that its newest point is all that they ever wrote."""
    vault.begin(log, writer=f"{_HANDED}{who}", urgent=True).close()


def give_back(vault: Vault, log: str, who: str) -> None:
    """Say in a log that was handed over that nobody takes its machines: they may run there again."""
    vault.begin(log, writer=f"{_RETURNED}{who}", urgent=True).close()


def is_handed_over(vault: Vault, log: str) -> bool:
    """Tell whether nothing is missing behind the newest point of a log, because its side said so."""
    for number in vault.log(log).numbers():
        entry = vault.log(log).read(number).entry
        if entry.kind != "fence" or entry.writer.startswith(_RETURNED):
            return False
        if entry.writer.startswith(_HANDED):
            return True
    return False


def refuse_unless_here(vault: Vault, log: str) -> None:
    """Refuse to start machines on the side of a log that they left, or handed over (R-FO-7)."""
    refuse_if_left(vault, log)
    if is_handed_over(vault, log):
        raise Refused(
            f"the machines of {log} were handed over: the other side counts on it that nothing is missing",
            cure="take them over there; or take them back here with `bascule machine start --force`, while"
            " nobody does",
            code="handed-over",
        )


def settle(vault: Vault, log: str, who: str) -> None:
    """Say in a log that its machines left for good: the change of sides was committed. Said once."""
    if not is_settled(vault, log):
        vault.begin(log, writer=f"{_SETTLED}{who}", urgent=True).close()


def is_settled(vault: Vault, log: str) -> bool:
    """Tell whether the machines of a log left it for good, and nobody took it back since."""
    for number in vault.log(log).numbers():
        entry = vault.log(log).read(number).entry
        if entry.kind != "fence" or entry.writer.startswith(_SETTLED):
            return entry.kind == "fence"
    return False


def base_of(vault: Vault, log: str) -> tuple[str, int] | None:
    """Return the point that a log goes on from, None for the first generation."""
    begun = vault.beginning(log)
    return begun.base if begun else None
