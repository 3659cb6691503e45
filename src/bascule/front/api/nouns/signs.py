"""How a vault stands, and what happened in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bascule.model.vault.signs.event import Condition, Event, Health

from ..answers import Answer, moment, page
from ..asking import Ask
from ..errors import TurnedAway
from ..filters import Filter
from ..naming import named, resource
from ..words import health

PAGE = 200


def list_events(ask: Ask) -> Answer:
    """Return the events of a vault, the newest first, a page at a time."""
    wanted = Filter.of(ask, ("Severity", "EventType", "AffectedObjectFriendlyName", "StartTime", "EndTime"))
    before = ask.query.get("$skiptoken", "0")
    if not before.isdecimal() or len(before) > 18:
        raise TurnedAway("$skipToken is none of ours", cure="follow nextLink as it is")
    events = ask.service.signs.events(ask.caller, ask.vault, PAGE, int(before))
    is_last = len(events) < PAGE or wanted.is_below("starttime", moment(events[-1].at) or "")
    names = _names(ask, events)
    shown = (_event(ask, one, names) for one in events if wanted.allows(_facts(one, names)))
    return page(ask, shown, "" if is_last else str(events[-1].number))


def get_event(ask: Ask) -> Answer:
    """Return an event."""
    number = ask.names["event"]
    last = int(number) + 1 if number.isdecimal() and len(number) <= 18 else 0
    events = ask.service.signs.events(ask.caller, ask.vault, 1, last)
    found = named(events, number, lambda one: str(one.number), "event")
    return Answer(body=_event(ask, found, _names(ask, (found,))))


def vault_health(ask: Ask) -> Answer:
    """Return what is wrong in a vault."""
    conditions = ask.service.signs.conditions(ask.caller, ask.vault)
    servers = {one.id for one in ask.service.fabrics.servers(ask.caller, ask.vault)}
    items = {one.id for one in ask.service.items.list(ask.caller, ask.vault)}
    fabrics = len(ask.service.fabrics.list(ask.caller, ask.vault))
    of_items = [one for one in conditions if one.subject in items]
    of_servers = [one for one in conditions if one.subject in servers]
    others = [one for one in conditions if one.subject not in servers | items]
    return Answer(
        body=resource(
            ask.home,
            "replicationVaultHealth/default",
            "replicationVaultHealth",
            {
                "vaultErrors": [health.error(one) for one in others],
                "protectedItemsHealth": _summary(len(items), of_items),
                "fabricsHealth": _summary(fabrics, of_servers),
                "containersHealth": _summary(fabrics, []),
            },
        )
    )


def _summary(count: int, conditions: Iterable[Condition]) -> Mapping[str, object]:
    found = tuple(conditions)
    return {
        "resourceCount": count,
        "issues": [_issue(one) for one in found],
        "categorizedResourceCounts": {
            health.LEVELS[level]: sum(one.health is level for one in found)
            for level in (Health.WARNING, Health.CRITICAL)
        },
    }


def _issue(one: Condition) -> Mapping[str, object]:
    return {
        **{"summaryCode": one.code, "summaryMessage": one.message, "category": "Replication"},
        **{"severity": "Error" if one.health is Health.CRITICAL else "Warning"},
        **{"affectedResourceType": "Bascule", "affectedResourceSubtype": ""},
        "affectedResourceCorrelationIds": [one.subject],
    }


def _names(ask: Ask, events: Iterable[Event]) -> Mapping[str, str]:
    """Return what people call the subjects of events: items and hosts, while they are there."""
    subjects = frozenset(one.subject for one in events)
    if not subjects:
        return {}
    servers = {one.id: one.name for one in ask.service.fabrics.servers(ask.caller, ask.vault)}
    return servers | dict(ask.service.items.names(ask.caller, ask.vault, subjects))


def _event(ask: Ask, event: Event, names: Mapping[str, str]) -> Mapping[str, object]:
    return resource(
        ask.home,
        f"replicationEvents/{event.number}",
        "replicationEvents",
        {
            **{"eventCode": event.code, "description": event.message, "eventType": "VmHealth"},
            "affectedObjectFriendlyName": names.get(event.subject, event.subject),
            "affectedObjectCorrelationId": event.subject,
            **{"severity": health.SEVERITIES[event.health], "timeOfOccurrence": moment(event.at)},
            "healthErrors": [] if event.health is Health.HEALTHY else [health.error(event)],
        },
    )


def _facts(event: Event, names: Mapping[str, str]) -> Mapping[str, str]:
    at, name = moment(event.at) or "", names.get(event.subject, event.subject)
    return {
        **{"severity": health.SEVERITIES[event.health], "eventtype": "VmHealth"},
        **{"affectedobjectfriendlyname": name, "starttime": at, "endtime": at},
    }


HANDLERS = {
    "replication_events.list": list_events,
    "replication_events.get": get_event,
    "replication_vault_health.get": vault_health,
    "replication_vault_health.refresh": vault_health,
}
