"""Policies, as those of Hyper-V machines to Azure: an interval, hours of history, and consistent points.

What such a policy cannot say is said in ``bascule`` (R-P-5): the threshold of the RPO, the whole ladder of
what is kept, when a resync may run, and whether the guest's agent is asked. What is not said stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bascule.model.errors import Missing
from bascule.model.policies import Policy
from bascule.model.retention import Ladder
from bascule.model.vault.fabric import ReplicationPolicy

from ...answers import Answer, page
from ...asking import Ask
from ...errors import TurnedAway
from ...naming import KIND, named, resource

_ALL_HOURS = 2
_HOUR = 3600
_MINUTE = 60


def list_all(ask: Ask) -> Answer:
    """Return the policies of a vault."""
    return page(ask, (_policy(ask, one) for one in ask.service.policies.list(ask.caller, ask.vault)))


def get(ask: Ask) -> Answer:
    """Return a policy."""
    return Answer(body=_policy(ask, _found(ask)))


def put(ask: Ask) -> Answer:
    """Write a policy in."""
    name = ask.names["policy"]
    try:
        name, before = _found(ask).id, _found(ask).policy
    except Missing:
        before = Policy()
    return _put(ask, name, before, "providerSpecificInput")


def patch(ask: Ask) -> Answer:
    """Change what is named of a policy."""
    found = _found(ask)
    return _put(ask, found.id, found.policy, "replicationProviderSettings")


def delete(ask: Ask) -> Answer:
    """Remove a policy that nobody has."""
    ask.service.policies.remove(ask.caller, ask.vault, _found(ask).id)
    return Answer(204)


def _put(ask: Ask, name: str, before: Policy, part: str) -> Answer:
    way = ("properties", part)
    kind = ask.text(*way, "instanceType", default=KIND)
    if kind != KIND:
        raise TurnedAway(
            f"policies of the kind {kind[:64]} are not built yet", cure=f"make one of {KIND}", code="not-yet"
        )
    before = _ours(ask, before, *way, "bascule")
    interval = ask.number(*way, "replicationInterval", default=before.interval_seconds)
    hours = ask.number(
        *way, "applicationConsistentSnapshotFrequencyInHours", default=before.app_consistent_seconds // _HOUR
    )
    minutes = ask.number(*way, "bascule", "recoveryPointThresholdInMinutes", default=-1)
    threshold = max(before.rpo_threshold_seconds, interval) if minutes < 0 else minutes * _MINUTE
    history = ask.number(*way, "recoveryPointHistoryDuration", default=-1)
    if history >= 0 and ask.text(*way, "bascule", "retention"):
        raise TurnedAway(
            "recoveryPointHistoryDuration and bascule.retention both say what is kept", cure="leave one out"
        )
    policy = replace(
        before,
        interval_seconds=interval,
        rpo_threshold_seconds=threshold,
        app_consistent_seconds=hours * _HOUR,
        first_copy_at=ask.text(*way, "onlineReplicationStartTime", default=before.first_copy_at),
        retention=before.retention if history < 0 else _ladder(history),
    )
    return Answer(body=_policy(ask, ask.service.policies.put(ask.caller, ask.vault, name, policy)))


def _ours(ask: Ask, before: Policy, *way: str) -> Policy:
    return replace(
        before,
        retention=ask.text(*way, "retention", default=before.retention),
        resync_hours=ask.text(*way, "resyncHours", default=before.resync_hours),
        agent=ask.text(*way, "agent", default=before.agent),
    )


def _ladder(hours: int) -> str:
    """Return what is kept for so many hours: all of the first two, then one every five minutes."""
    if hours <= _ALL_HOURS:
        return f"{max(hours, 1)}h:all"
    return f"{_ALL_HOURS}h:all,{hours}h:5m"


def _found(ask: Ask) -> ReplicationPolicy:
    known = ask.service.policies.list(ask.caller, ask.vault)
    return named(known, ask.names["policy"], lambda one: one.id, "policy")


def _policy(ask: Ask, one: ReplicationPolicy) -> Mapping[str, object]:
    policy = one.policy
    history = Ladder.parse(policy.retention).rungs[-1].age_seconds
    details = {
        **{"instanceType": KIND, "recoveryPointHistoryDurationInHours": history // _HOUR},
        "applicationConsistentSnapshotFrequencyInHours": policy.app_consistent_seconds // _HOUR,
        **{"replicationInterval": policy.interval_seconds, "encryption": "Enabled"},
        **{"onlineReplicationStartTime": policy.first_copy_at or None, "activeStorageAccountId": None},
        "bascule": {
            "recoveryPointThresholdInMinutes": policy.rpo_threshold_seconds // _MINUTE,
            **{"retention": policy.retention, "resyncHours": policy.resync_hours, "agent": policy.agent},
        },
    }
    properties = {"friendlyName": one.id, "providerSpecificDetails": details}
    return resource(ask.home, f"replicationPolicies/{one.id}", "replicationPolicies", properties)


HANDLERS = {
    "replication_policies.list": list_all,
    "replication_policies.get": get,
    "replication_policies.create": put,
    "replication_policies.update": patch,
    "replication_policies.delete": delete,
}
