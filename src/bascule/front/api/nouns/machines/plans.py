"""Recovery plans: made, shown, changed and removed. What runs one answers that it is not built yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from bascule.model.errors import Missing
from bascule.model.vault.item import Command, Move, ProtectedItem, Side
from bascule.model.vault.plan import (
    ActionKind,
    GroupKind,
    PlanAction,
    PlanGroup,
    RecoveryPlan,
)
from bascule.model.vault.sides.pairing import AZURE

from ...answers import Answer, page
from ...asking import Ask
from ...errors import TurnedAway
from ...naming import KIND, meant, named, resource
from ..sides.containers import container_words
from .items import Around, is_there
from .shown import IDLE

T = TypeVar("T")

_GROUPS: Mapping[str, GroupKind] = {
    "Shutdown": GroupKind.SHUT_DOWN,
    "Failover": GroupKind.FAIL_OVER,
    "Boot": GroupKind.BOOT,
}
_OCCASIONS: Mapping[str, Command] = {
    "TestFailover": Command.TEST_FAIL_OVER,
    "PlannedFailover": Command.PLANNED_FAIL_OVER,
    "UnplannedFailover": Command.FAIL_OVER,
}
_DIRECTIONS: Mapping[str, Move] = {"PrimaryToRecovery": Move.OVER, "RecoveryToPrimary": Move.HOME}
_SIDES: Mapping[str, Side] = {"Primary": Side.PRIMARY, "Recovery": Side.RECOVERY}
_ACTIONS: Mapping[str, tuple[ActionKind, str]] = {
    "ManualActionDetails": (ActionKind.MANUAL, "description"),
    "ScriptActionDetails": (ActionKind.SCRIPT, "path"),
    "AutomationRunbookActionDetails": (ActionKind.RUNBOOK, "runbookId"),
}
_PERIOD = re.compile(r"PT(?=\d)(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?", re.IGNORECASE)
_ACTIONS_MAX = 100


def list_all(ask: Ask) -> Answer:
    """Return the plans of a vault."""
    items, around = _items(ask), Around.of(ask)
    plans = ask.service.plans.list(ask.caller, ask.vault)
    return page(ask, (_plan(ask, one, items, around) for one in plans))


def get(ask: Ask) -> Answer:
    """Return a plan."""
    return Answer(body=_plan(ask, _found(ask), _items(ask), Around.of(ask)))


def put(ask: Ask) -> Answer:
    """Make a plan, or write one in place of another."""
    try:
        name = _found(ask).id
    except Missing:
        name = ask.names["plan"]
    model = ask.text("properties", "failoverDeploymentModel", default="ResourceManager")
    if model not in ("ResourceManager", "NotApplicable"):
        raise TurnedAway(f"{model[:40]!r} is no failoverDeploymentModel here", cure="name ResourceManager")
    primary, recovery = _site(ask, "primaryFabricId"), _site(ask, "recoveryFabricId")
    return _put(ask, RecoveryPlan.of(ask.vault, name, primary, _said(ask), recovery))


def patch(ask: Ask) -> Answer:
    """Change the groups of a plan."""
    plan = _found(ask)
    if not ask.has("properties", "groups"):
        return Answer(body=_plan(ask, plan, _items(ask), Around.of(ask)))
    return _put(ask, RecoveryPlan.of(ask.vault, plan.id, plan.primary, _said(ask), plan.leads_to))


def delete(ask: Ask) -> Answer:
    """Remove a plan."""
    ask.service.plans.remove(ask.caller, ask.vault, _found(ask).id)
    return Answer(204)


def _put(ask: Ask, plan: RecoveryPlan) -> Answer:
    made = ask.service.plans.put(ask.caller, plan)
    return Answer(body=_plan(ask, made, _items(ask), Around.of(ask)))


def _found(ask: Ask) -> RecoveryPlan:
    known = ask.service.plans.list(ask.caller, ask.vault)
    return named(known, ask.names["plan"], lambda one: one.id, "recovery plan")


def _items(ask: Ask) -> Mapping[str, ProtectedItem]:
    found = ask.service.items.list(ask.caller, ask.vault)
    return {one.id: one for one in found if is_there(one)}


def _site(ask: Ask, word: str) -> str:
    said = ask.text("properties", word)
    if said.casefold() == AZURE.casefold():
        return AZURE
    name = meant(ask, said, "replicationFabrics")
    known = ask.service.fabrics.list(ask.caller, ask.vault)
    return named(known, name, lambda one: one.id, "fabric").id


def _said(ask: Ask) -> list[PlanGroup]:
    names = {item.name.casefold(): item.id for item in _items(ask).values()}
    return [_group(one, names) for one in ask.each("properties", "groups")]


def _group(ask: Ask, names: Mapping[str, str]) -> PlanGroup:
    items = []
    for said in ask.each("replicationProtectedItems"):
        name = meant(ask, said.text("id"), "replicationProtectedItems")
        if name.casefold() not in names:
            raise Missing(f"there is no protected item {name}", cure="list what protected items there are")
        items.append(names[name.casefold()])
    kind = _word(_GROUPS, ask.text("groupType"), "groupType")
    before, after = (_actions(ask, word) for word in ("startGroupActions", "endGroupActions"))
    return PlanGroup(kind, tuple(items), before, after)


def _actions(ask: Ask, word: str) -> tuple[PlanAction, ...]:
    found = ask.each(word)
    if len(found) > _ACTIONS_MAX:
        raise TurnedAway(f"a group has {len(found)} {word}", cure=f"name {_ACTIONS_MAX} at most")
    return tuple(map(_action, found))


def _action(ask: Ask) -> PlanAction:
    kind, text = _word(_ACTIONS, ask.text("customDetails", "instanceType"), "kind of actions")
    where = ask.text("customDetails", "fabricLocation", default="Recovery")
    return PlanAction(
        name=ask.text("actionName"),
        kind=kind,
        text=ask.text("customDetails", text),
        occasions=tuple(_words(ask, _OCCASIONS, "failoverTypes")),
        directions=tuple(_words(ask, _DIRECTIONS, "failoverDirections")),
        timeout_seconds=_seconds(ask.text("customDetails", "timeout")),
        side=_word(_SIDES, where, "fabricLocation"),
    )


def _words(ask: Ask, known: Mapping[str, T], word: str) -> Iterator[T]:
    said = ask.value(word)
    if not isinstance(said, list):
        raise TurnedAway(f"{word} is no list", cure=f"name some of {', '.join(known)}")
    return (_word(known, str(one), word) for one in said)


def _word(known: Mapping[str, T], said: str, what: str) -> T:
    """Return what is meant by a word, in whatever case it is written."""
    for name, meaning in known.items():
        if name.casefold() == said.casefold():
            return meaning
    raise TurnedAway(f"{said[:64]!r} is no {what}", cure=f"choose of {', '.join(known)}")


def _said_as(known: Mapping[str, T], meaning: T) -> str:
    return next(name for name, value in known.items() if value == meaning)


def _seconds(said: str) -> int:
    if not said:
        return 0
    found = _PERIOD.fullmatch(said)
    if found is None:
        raise TurnedAway(f"{said[:40]!r} is no timeout", cure="say it as PT10M")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _plan(
    ask: Ask, plan: RecoveryPlan, items: Mapping[str, ProtectedItem], around: Around
) -> Mapping[str, object]:
    site = f"{ask.home}/replicationFabrics"
    leads_to = AZURE if plan.leads_to == AZURE else f"{site}/{plan.leads_to}"
    idle = {**IDLE, "jobId": f"{ask.home}/replicationJobs/None"}
    return resource(
        ask.home,
        f"replicationRecoveryPlans/{plan.id}",
        "replicationRecoveryPlans",
        {
            **{"friendlyName": plan.id, "primaryFabricFriendlyName": plan.primary},
            **{"primaryFabricId": f"{site}/{plan.primary}", "recoveryFabricId": leads_to},
            **{"recoveryFabricFriendlyName": plan.leads_to, "failoverDeploymentModel": "ResourceManager"},
            **{"replicationProviders": [KIND], "allowedOperations": [], "currentScenario": idle},
            **{"currentScenarioStatus": "None", "currentScenarioStatusDescription": "None"},
            "groups": [_shown(ask, group, items, around) for group in plan.groups],
            "providerSpecificDetails": [],
        },
    )


def _shown(
    ask: Ask, group: PlanGroup, items: Mapping[str, ProtectedItem], around: Around
) -> Mapping[str, object]:
    """Return a group; what is not protected any more is in no plan."""
    shown = []
    for item in (items[one] for one in group.items if one in items):
        container = around.container(item)
        place = f"{ask.home}/{container_words(container)}" if container else ask.home
        shown.append({"id": f"{place}/replicationProtectedItems/{item.name}", "virtualMachineId": item.id})
    return {
        **{"groupType": _said_as(_GROUPS, group.kind), "replicationProtectedItems": shown},
        "startGroupActions": [_shown_action(one) for one in group.before],
        "endGroupActions": [_shown_action(one) for one in group.after],
    }


def _shown_action(action: PlanAction) -> Mapping[str, object]:
    kind, word = next((name, text) for name, (kind, text) in _ACTIONS.items() if kind is action.kind)
    details: dict[str, object] = {"instanceType": kind, word: action.text}
    if action.kind is not ActionKind.MANUAL:
        details["fabricLocation"] = _said_as(_SIDES, action.side)
        details["timeout"] = f"PT{action.timeout_seconds}S" if action.timeout_seconds else None
    return {
        "actionName": action.name,
        "failoverTypes": [_said_as(_OCCASIONS, one) for one in action.occasions],
        "failoverDirections": [_said_as(_DIRECTIONS, one) for one in action.directions],
        "customDetails": details,
    }


HANDLERS = {
    "replication_recovery_plans.list": list_all,
    "replication_recovery_plans.get": get,
    "replication_recovery_plans.create": put,
    "replication_recovery_plans.update": patch,
    "replication_recovery_plans.delete": delete,
}
