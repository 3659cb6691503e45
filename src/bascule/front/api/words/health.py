"""What is wrong, in the words of Azure Site Recovery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bascule.model.vault.signs.event import Condition, Event, Health, worst

from ..answers import moment

LEVELS: Mapping[Health, str] = {
    Health.HEALTHY: "Normal",
    Health.WARNING: "Warning",
    Health.CRITICAL: "Critical",
}
SEVERITIES: Mapping[Health, str] = {**LEVELS, Health.HEALTHY: "OK"}


def level(conditions: Iterable[Condition]) -> str:
    """Return the health of something with which so much is wrong."""
    return LEVELS[worst(conditions)]


def error(one: Condition | Event) -> Mapping[str, object]:
    """Return a condition as a health error."""
    since = one.since if isinstance(one, Condition) else one.at
    is_critical = one.health is Health.CRITICAL
    return {
        **{"errorSource": "Bascule", "errorType": "ReplicationError", "errorCategory": "Replication"},
        **{"errorLevel": "Error" if is_critical else "Warning", "errorCode": one.code},
        **{"summaryMessage": one.message, "errorMessage": one.message, "possibleCauses": one.message},
        **{"recommendedAction": one.cure, "creationTimeUtc": moment(since), "entityId": one.subject},
        **{"errorId": f"{one.subject}:{one.code}", "customerResolvability": "NotAllowed"},
        "innerHealthErrors": [],
    }
