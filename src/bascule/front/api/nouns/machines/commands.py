"""What is asked of protected items. Each is a job, and is waited for by the job's name."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.errors import Missing
from bascule.model.vault.item import Command
from bascule.model.vault.job import Job, JobId, Value

from ...answers import Answer, accepted
from ...asking import Ask
from ...errors import TurnedAway
from ...naming import KIND, meant
from .. import jobs
from ..sides.containers import container_of
from . import items
from .items import found, item_id
from .points import point_of
from .shaping import network_named

_DETAILS = ("properties", "providerSpecificDetails")
_KINDS = (KIND, "")
_OVER = "PrimaryToRecovery"
_CREATION = ("NoAction", "CreateVmIfNotFound")
_DATA = {"ForSynchronization": "synchronise", "ForDownTime": "download"}


def disable(ask: Ask) -> Answer:
    """End the protection of a machine, with all that it left on both sides."""
    return _give(ask, Command.DISABLE)


def purge(ask: Ask) -> Answer:
    """End the protection of a machine whose host is gone for good."""
    return _give(ask, Command.DISABLE, {"source_is_gone": "yes"})


def rehearse(ask: Ask) -> Answer:
    """Start a copy of a machine beside it, in the network that is named, or in none."""
    return _over(ask, Command.TEST_FAIL_OVER, _network(ask))


def clean_up(ask: Ask) -> Answer:
    """Remove all of a test."""
    return _give(ask, Command.CLEAN_UP)


def fail_over(ask: Ask) -> Answer:
    """Start a machine on the other side; its own is shut down first if that is required and can be."""
    said = ask.text("properties", "sourceSiteOperations", default="NotRequired").casefold()
    if said not in ("required", "notrequired"):
        raise TurnedAway(
            f"{said[:40]!r} is none of sourceSiteOperations", cure="name Required or NotRequired"
        )
    return _over(ask, Command.FAIL_OVER, {"shut_down": "yes"} if said == "required" else {})


def go_in_order(ask: Ask) -> Answer:
    """Shut a machine down and start it on the other side; or bring one home, by the direction."""
    direction = ask.text("properties", "failoverDirection", default=_OVER)
    if direction.casefold() != "recoverytoprimary":
        return _over(ask, Command.PLANNED_FAIL_OVER)
    check_kind(ask, (*_KINDS, f"{KIND}Failback"))
    option = ask.text(*_DETAILS, "dataSyncOption", default="ForSynchronization")
    if option not in _DATA:
        raise TurnedAway(f"{option[:40]!r} is no dataSyncOption", cure=f"choose of {', '.join(_DATA)}")
    return _give(ask, Command.FAIL_BACK, {"data": _DATA[option], "host": _alternate(ask)})


def _alternate(ask: Ask) -> str:
    """Return the host that a machine comes home to if it is another one than it left (R-HV-4)."""
    creation = ask.text(*_DETAILS, "recoveryVmCreationOption", default="NoAction")
    if creation not in _CREATION:
        raise TurnedAway(
            f"{creation[:40]!r} is no recoveryVmCreationOption", cure=f"choose of {', '.join(_CREATION)}"
        )
    said = ask.text(*_DETAILS, "providerIdForAlternateRecovery")
    if not said:
        return ""
    if creation == "NoAction":
        raise TurnedAway(
            "a host that the machine did not leave has no machine to bring up to date",
            cure="say CreateVmIfNotFound with providerIdForAlternateRecovery",
        )
    return meant(ask, said, "replicationRecoveryServicesProviders")


def reprotect(ask: Ask) -> Answer:
    """Replicate a machine from the side on which it works now."""
    check_kind(ask)
    return _give(ask, Command.REPROTECT)


def change_point(ask: Ask) -> Answer:
    """Start a machine that was failed over anew, at another point."""
    return _give(ask, Command.CHANGE_POINT, _point(ask, ("properties", "recoveryPointId")))


def commit(ask: Ask) -> Answer:
    """Let a failover stay."""
    return _give(ask, Command.COMMIT)


def cancel(ask: Ask) -> Answer:
    """Take a failover back."""
    return _give(ask, Command.CANCEL)


def resync(ask: Ask) -> Answer:
    """Make a replica equal again."""
    return _give(ask, Command.RESYNC)


def result(ask: Ask) -> Answer:
    """Return what came of a command: the item, nothing if it is not there any more, or why it failed."""
    job = ask.service.jobs.get(ask.caller, ask.vault, JobId(ask.names["job"].lower()))
    fabric = container_of(ask)
    if not job.is_ended:
        return accepted(ask, job, item_id(ask, fabric, ask.names["item"]))
    if (failure := jobs.failure_of(job)) is not None:
        return Answer(400, {"error": failure})
    try:
        return items.get(ask)
    except Missing:
        return Answer(204)


def _over(ask: Ask, command: Command, input: Mapping[str, Value] | None = None) -> Answer:
    check_kind(ask)
    direction = ask.text("properties", "failoverDirection", default=_OVER)
    if direction.casefold() != "primarytorecovery":
        raise TurnedAway(
            f"a failover {direction[:40]} is not built yet", cure="PrimaryToRecovery is", code="not-yet"
        )
    _refuse_keys(ask)
    return _give(ask, command, {**(input or {}), **_point(ask, (*_DETAILS, "recoveryPointId"))})


def _network(ask: Ask) -> Mapping[str, Value]:
    """Return where a test is to be plugged in; nothing leaves that as it was said before."""
    network = network_named(ask.text("properties", "networkId"))
    kind = ask.text("properties", "networkType", default="VmNetworkAsInput" if network else "").casefold()
    if kind == "nonetworkattachasinput":
        return {"plug_in": "nowhere"}
    if kind == "vmnetworkasinput":
        if not network:
            raise TurnedAway(
                "networkType is VmNetworkAsInput, and no networkId is named",
                cure="name a network of the host that would take the machine over, or NoNetworkAttachAsInput",
            )
        return {"network": network}
    if kind:
        raise TurnedAway(
            f"networkType {kind[:40]} is of sites that this server does not know",
            cure="name VmNetworkAsInput or NoNetworkAttachAsInput",
            code="not-of-this-kind",
        )
    return {}


def _refuse_keys(ask: Ask) -> None:
    """Refuse certificates of keys that nothing here is encrypted by: stores are opened by key files."""
    for word in ("primaryKekCertificatePfx", "secondaryKekCertificatePfx", "osUpgradeVersion"):
        if ask.text(*_DETAILS, word):
            raise TurnedAway(
                f"{word} is of a public cloud, and this is none", cure="leave it out", code="not-of-this-kind"
            )


def _give(ask: Ask, command: Command, input: Mapping[str, Value] | None = None) -> Answer:
    item = found(ask)
    job: Job = ask.service.items.command(ask.caller, ask.vault, item.id, command, input)
    return accepted(ask, job, item_id(ask, container_of(ask), item.name))


def _point(ask: Ask, way: tuple[str, ...]) -> Mapping[str, Value]:
    said = ask.text(*way)
    if not said:
        return {}
    name = meant(ask, said, "recoveryPoints") if said.count("/") > 1 else said.strip("/")
    return {"point": point_of(name)}


def check_kind(ask: Ask, kinds: tuple[str, ...] = _KINDS) -> None:
    kind = ask.text(*_DETAILS, "instanceType")
    if kind not in kinds:
        raise TurnedAway(
            f"machines of the kind {kind[:64]} are not built yet", cure=f"name {KIND}", code="not-yet"
        )


_GROUP = "replication_protected_items"
HANDLERS = {
    f"{_GROUP}.delete": disable,
    f"{_GROUP}.purge": purge,
    f"{_GROUP}.test_failover": rehearse,
    f"{_GROUP}.test_failover_cleanup": clean_up,
    f"{_GROUP}.unplanned_failover": fail_over,
    f"{_GROUP}.planned_failover": go_in_order,
    f"{_GROUP}.reprotect": reprotect,
    f"{_GROUP}.apply_recovery_point": change_point,
    f"{_GROUP}.failover_commit": commit,
    f"{_GROUP}.failover_cancel": cancel,
    f"{_GROUP}.repair_replication": resync,
    "waiting.item_result": result,
}
