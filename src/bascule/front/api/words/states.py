"""Where an item stands, in the words of Azure Site Recovery.

There it is one word for what are four axes here. While an operation goes on the word stays what it was, as
the job tells the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.vault.item import Command, ProtectedItem, Protection, Side, TestFailover

P, C, T = Protection, Command, TestFailover

_BEGUN = ("UnprotectedStatesBegin", "Enabling protection")
_PROTECTED = ("Protected", "Protected")
_PENDING = ("UnplannedFailoverCommitPendingStatesBegin", "Unplanned failover finished")
_COMMITTED = ("UnplannedFailoverCommitted", "Failover committed")
_IN_ORDER = {
    _PENDING: ("PlannedFailoverCommitRequired", "Planned failover finished"),
    _COMMITTED: ("PlannedFailoverStatesBegin", "Planned failover committed"),
}
_HOME = ("RestoreFinalized", "Failback finalized")

PROTECTION: Mapping[Protection, tuple[str, str]] = {
    P.UNPROTECTED: ("Unprotected", "Unprotected"),
    P.ENABLING: _BEGUN,
    P.SEEDING: _BEGUN,
    P.PROTECTED: _PROTECTED,
    P.FAILING_OVER: _PROTECTED,
    P.FAILED_OVER: _PENDING,
    P.CHANGING_POINT: _PENDING,
    P.CANCELLING: _PENDING,
    P.COMMITTING: _PENDING,
    P.COMMITTED: _COMMITTED,
    P.REPROTECTING: _COMMITTED,
    P.DISABLING: ("UnprotectedStatesBegin", "Disabling protection"),
}

TEST: Mapping[TestFailover, tuple[str, str]] = {
    T.NONE: ("None", "None"),
    T.STARTING: ("TestFailoverInitiated", "Starting test failover"),
    T.RUNNING: ("TestFailoverCompleted", "Waiting for clean up"),
    T.CLEANING: ("MarkedForDeletion", "Cleaning up test environment"),
}

OPERATIONS: Mapping[Command, str] = {
    C.PLANNED_FAIL_OVER: "PlannedFailover",
    C.FAIL_OVER: "UnplannedFailover",
    C.DISABLE: "DisableProtection",
    C.TEST_FAIL_OVER: "TestFailover",
    C.CLEAN_UP: "TestFailoverCleanup",
    C.COMMIT: "Commit",
    C.CANCEL: "CancelFailover",
    C.CHANGE_POINT: "ChangePit",
    C.REPROTECT: "ReverseReplicate",
    C.FAIL_BACK: "Failback",
}
"""Resynchronising is not among them: Azure lists it for an item only when it is needed."""


def protection(item: ProtectedItem) -> tuple[str, str]:
    """Return how an item is protected: after a change of sides also by how it went, and whether home."""
    said = PROTECTION[item.protection]
    if said == _COMMITTED and item.side is Side.PRIMARY:
        return _HOME
    return _IN_ORDER.get(said, said) if item.is_planned else said


def allowed(item: ProtectedItem) -> list[str]:
    """Return what may be asked of an item now."""
    accepted = item.allowed()
    return [word for command, word in OPERATIONS.items() if command in accepted]


def location(item: ProtectedItem) -> str:
    """Return the side whose machine is the one that works."""
    return "Primary" if item.side is Side.PRIMARY else "Recovery"
