"""What is wrong, computed from what hosts said last (R-OP-2). Nobody has checked what they said.

Two ages are watched and never mixed (R-R-6): that of the newest point, and that of what is safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.policies import Policy
from bascule.model.vault.commands import Json
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import ProtectedItem, Protection

from .event import Condition, Health

Facts = Mapping[str, Json]

SILENT_SECONDS = 15 * 60.0
NO_POINT_SECONDS = 60 * 60.0
NO_POINT, NO_CONSISTENT_POINT = "153007", "153006"
_TEXT_MAX = 500


def server_conditions(server: Server, seen_at: float | None, now: float) -> Iterator[Condition]:
    """Yield what is wrong with a host that was seen last at a moment; nothing of one that is revoked."""
    since = seen_at or server.registered_at
    if not server.is_revoked and now - since >= SILENT_SECONDS:
        yield Condition(
            server.vault,
            server.id,
            "no-heartbeat",
            Health.CRITICAL,
            since,
            f"nothing was heard of host {server.name} for {int(now - since) // 60} minutes",
            "see that its provider runs and reaches the vault's door: `bascule provider status`",
        )


def item_conditions(
    item: ProtectedItem, policy: Policy, facts: Facts | None, now: float
) -> Iterator[Condition]:
    """Yield what is wrong with an item of which the host where it works said these facts last.

    Only of one that is to be replicated: not while it is failed over, and not before its first point.
    """
    if item.protection is not Protection.PROTECTED:
        return
    if facts is None:
        yield _condition(
            item,
            "not-replicated",
            Health.CRITICAL,
            now,
            f"the source of {item.name} does not know of it",
            "see that its provider's folder is the one that was registered; or disable protection",
        )
        return
    yield from _troubles(item, facts, now)
    yield from _ages(item, policy, facts, now)


def _troubles(item: ProtectedItem, facts: Facts, now: float) -> Iterator[Condition]:
    trouble = facts.get("trouble")
    if isinstance(trouble, Mapping):
        is_passing = trouble.get("family") == "unavailable"
        yield _condition(
            item,
            _text(trouble.get("code")) or "trouble",
            Health.WARNING if is_passing else Health.CRITICAL,
            _number(trouble.get("first_at")) or now,
            _text(trouble.get("message")),
            _text(trouble.get("cure")),
        )
    if _text(facts.get("fenced_by")):
        yield _condition(
            item,
            "fenced",
            Health.CRITICAL,
            _number(facts.get("since")) or now,
            f"somebody took {item.name} over at its source's store",
            "look who, and let the source resume with --take-over if it is to go on",
        )


def _ages(item: ProtectedItem, policy: Policy, facts: Facts, now: float) -> Iterator[Condition]:
    newest = facts.get("newest")
    captured = _number(newest.get("captured_at")) if isinstance(newest, Mapping) else None
    if captured is not None and now - captured >= NO_POINT_SECONDS:
        message = f"{item.name} has had no new recovery point for 60 minutes"
        yield _condition(item, NO_POINT, Health.CRITICAL, captured + NO_POINT_SECONDS, message, _SEE)
    consistent = _number(facts.get("app_consistent_at"))
    patience = max(NO_POINT_SECONDS, 2.0 * policy.app_consistent_seconds)
    if policy.app_consistent_seconds and consistent is not None and now - consistent >= patience:
        message = f"{item.name} has had no new application-consistent point for {int(patience) // 60} minutes"
        why = _text(facts.get("only_crash")) or _SEE
        yield _condition(item, NO_CONSISTENT_POINT, Health.WARNING, consistent + patience, message, why)
    safe = _number(facts.get("safe_as_of"))
    if safe is not None and now - safe > policy.rpo_threshold_seconds:
        message = f"more than {policy.rpo_threshold_seconds} s of {item.name} would be lost"
        since = safe + policy.rpo_threshold_seconds
        yield _condition(item, "rpo-exceeded", Health.WARNING, since, message, _SEE)


_SEE = "see that its host is in touch, that its line carries what changes, and what its provider says"


def _condition(
    item: ProtectedItem, code: str, health: Health, since: float, message: str, cure: str
) -> Condition:
    return Condition(item.vault, item.id, code, health, since, message, cure)


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Json) -> str:
    return value[:_TEXT_MAX] if isinstance(value, str) else ""
