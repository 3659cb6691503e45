"""What a vault may have a host do with machines that it takes over: verbs of this room, each by its name.

Each may be asked for again after any death, as the verbs themselves may. Which hypervisor takes machines
over, and where they keep what they write, is for the host's operator to say and for no vault; what a vault
names is the store, its key's file and what machines are to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bascule.model.errors import Missing, Refused
from bascule.model.vault.commands import Command
from bascule.ports.chance import Clock
from bascule.wire.control.strict import Fields

from .. import fail_back as failing_back
from .. import fail_over as failing_over
from .. import rehearsal
from ..generations import lineage
from ..owning import writer_of
from ..pedigree import current, decided, recorded, returning
from ..record import Kind, Phase, Record
from ..shapes.asked import NOTHING, Asked, asked_in
from ..shapes.kept import Kept, forget_kept, keep, kept
from ..shapes.shape import Shape, refuse_unknown
from ..site import Site, members_at, refuse_unfit

_POINTS_MAX = 200
_PATH_MAX = 4096
_NAME_MAX = 200
_SETTINGS_MAX = 16 << 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a vault says that points are, and what opens it."""

    store: str
    key_file: str

    @classmethod
    def of(cls, command: Command) -> Place:
        """Return the place that a command names."""
        asked = Fields(command.arguments)
        return cls(asked.text("store", _PATH_MAX), asked.text("key_file", _PATH_MAX))


OpenSite = Callable[[Place], AbstractContextManager[Site]]
Verb = Callable[[Site, str, Fields], str]


def verbs(open_site: OpenSite, clock: Clock) -> Mapping[str, Callable[[Command], str]]:
    """Return what a vault may have done here, each by its name."""

    def clean_up(site: Site, group: str, asked: Fields) -> str:
        for log in _of_kind(site, group, Kind.TEST):
            rehearsal.clean_up(site, log, asked.text("notes", 2000, default=""), clock)
        return ""

    found: dict[str, Verb] = {
        "check-recovery": _check,
        "settle": _settle,
        "points": _points,
        "latest": _latest,
        "fence": _fence,
        "owner": _owner,
        "fail-over": _fail_over,
        "cancel": _cancel,
        "commit": _commit,
        "test": _test,
        "clean-up": clean_up,
        "forget": _forget,
        "shape": _keep_shape,
        "level": _level,
        "come-home": _come_home,
        "give-up": _give_up,
    }
    return {name: _bound(verb, open_site) for name, verb in found.items()}


def _bound(verb: Verb, open_site: OpenSite) -> Callable[[Command], str]:
    def carry_out(command: Command) -> str:
        with open_site(Place.of(command)) as site:
            return verb(site, command.group, Fields(command.arguments))

    return carry_out


def _check(site: Site, _group: str, asked: Fields) -> str:
    """See that the store opens, the host answers, and has the networks that machines are to be in."""
    site.vault.groups()
    site.hypervisor.machines()
    if asked.has("settings"):
        wanted, here = _wanted(asked), site.hypervisor.networks()
        networks = (wanted.failover.network, wanted.test.network)
        absent = [name for name in networks if name and name not in here]
        if absent:
            raise Refused(
                f"this host has no network {absent[0]}",
                cure=f"it has {', '.join(here)[:300] or 'none'}",
                code="unknown-network",
            )
    return ""


def _settle(site: Site, group: str, asked: Fields) -> str:
    """Keep what machines are to be, and see that they could be started here so at their newest point."""
    if asked.has("settings"):
        _keep_shape(site, group, asked)
    log = current(site.vault, group)
    with site.vault.peek(log) as point:
        members_at(site, Record(Kind.FAILOVER, log, "0", Phase.FENCING), point.info, _shape(site, group))
    return ""


def _points(site: Site, group: str, _asked: Fields) -> str:
    """Return the newest points, the newest first."""
    log = current(site.vault, group)
    found = sorted(site.vault.points(log), key=lambda point: -point.number)[:_POINTS_MAX]
    return json.dumps([[point.number, point.captured_at, point.consistency] for point in found])


def _latest(site: Site, group: str, _asked: Fields) -> str:
    with site.vault.peek(current(site.vault, group)) as point:
        return str(point.info.number)


def _fence(site: Site, group: str, _asked: Fields) -> str:
    """See that whoever writes the group publishes nothing more; each fence holds as the one before."""
    log = current(site.vault, group)
    record = site.records.find(log, Kind.FAILOVER)
    if record is None:
        writer = writer_of(site, Record(Kind.FAILOVER, log, "of a vault", Phase.FENCING))
        site.vault.begin(log, writer=writer, urgent=True).close()
    return ""


def _owner(site: Site, group: str, _asked: Fields) -> str:
    """Return the session that has the group now: whom another one has to take it back from."""
    head = site.vault.log(current(site.vault, group)).head()
    if head is None:
        raise Missing(f"nobody has begun {group}")
    return head.entry.session


def _fail_over(site: Site, group: str, asked: Fields) -> str:
    log = _failed_over(site, group) or current(site.vault, group)
    record = failing_over.fail_over(site, log, _shape(site, group), _number(asked))
    return _names(record)


def _cancel(site: Site, group: str, _asked: Fields) -> str:
    if log := _failed_over(site, group):
        failing_over.cancel(site, log)
    return ""


def _commit(site: Site, group: str, _asked: Fields) -> str:
    log, kind = decided(site, group)
    verb = failing_back if kind is Kind.FAILBACK else failing_over
    record: Record = verb.commit(site, log)
    return record.log


def _level(site: Site, group: str, _asked: Fields) -> str:
    log, phase = returning(site, group)
    if phase in (None, Phase.SYNCING):
        failing_back.synchronise(site, log, Shape())
    return ""


def _come_home(site: Site, group: str, asked: Fields) -> str:
    """Bring the machines home after they were handed over, and return the point that they go on from."""
    log, phase = returning(site, group)
    if phase in (None, Phase.SYNCING):
        failing_back.synchronise(site, log, Shape(), whole=asked.flag("whole"))
    record, _ = failing_back.complete(site, log)
    return str(record.number)


def _give_up(site: Site, group: str, _asked: Fields) -> str:
    try:
        log, phase = returning(site, group)
    except Missing:
        return ""
    if phase is not None:
        failing_back.cancel(site, log)
    return ""


def _keep_shape(site: Site, group: str, asked: Fields) -> str:
    """Keep what machines are to be, once for all that a document says; what cannot be is refused."""
    wanted = _wanted(asked)
    with site.vault.peek(current(site.vault, group)) as point:
        machines = point.info.machines
        for said in (wanted.failover, wanted.test):
            refuse_unknown(said, machines)
        for shape in (wanted.shape(NOTHING), wanted.test_shape(NOTHING)):
            refuse_unfit(site, [shape.of(machine) for machine in machines])
    keep(site.records, group, wanted)
    return ""


def _wanted(asked: Fields) -> Kept:
    """Return what is to be kept."""
    try:
        document = json.loads(asked.text("settings", _SETTINGS_MAX))
        return Kept(
            *(asked_in(document[name]) if name in document else NOTHING for name in ("failover", "test"))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"the settings cannot be read: {error!r}", cure="give what is kept as JSON", code="malformed"
        ) from error


def _test(site: Site, group: str, asked: Fields) -> str:
    log = current(site.vault, group)
    network = asked.text("network", _NAME_MAX, default="") if asked.has("network") else None
    shape = kept(site.records, group).test_shape(Asked(network=network))
    return _names(rehearsal.rehearse(site, log, shape, _number(asked)))


def _forget(site: Site, group: str, _asked: Fields) -> str:
    """Retire all generations, with all points, and keep no more what machines were to be (R-P-6).

    Locked points stay, and their generations. A machine that works here goes on: what it reads it has pinned.
    """
    forget_kept(site.records, group)
    try:
        logs = lineage(site.vault, group).logs
    except Missing:
        return ""
    with site.vault.upkeep(writer=site.who) as upkeep:
        # The newest last: until it has ended, whoever asks again finds the group, and goes on with the rest.
        stay = [log for log in logs if not upkeep.retire(log)]
    return " ".join(stay)


def _of_kind(site: Site, group: str, kind: Kind) -> list[str]:
    try:
        return recorded(site, group, kind)
    except Missing:
        return []


def _failed_over(site: Site, group: str) -> str:
    """Return the generation whose failover is under way or runs here, empty if there is none."""
    try:
        log, kind = decided(site, group)
    except Missing:
        return ""
    record = site.records.known(log, kind)
    return log if kind is Kind.FAILOVER and record.phase is not Phase.COMMITTED else ""


def _shape(site: Site, group: str) -> Shape:
    return kept(site.records, group).shape(NOTHING)


def _number(asked: Fields) -> int | None:
    return asked.whole("point", default=0) or None


def _names(record: Record) -> str:
    return " ".join(member.definition.name for member in record.members)
