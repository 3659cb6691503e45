"""States and allowed operations as recorded, for each standing that a machine of a Hyper-V site comes to."""

from __future__ import annotations

import pytest

from bascule.front.api.words import states
from bascule.model.vault.item import Command, Fact, ProtectedItem, Word

C, F = Command, Fact
SEEDED: tuple[Word, ...] = (C.ENABLE, F.RELATED, F.SEEDED)
PLANNED: tuple[Word, ...] = (*SEEDED, C.PLANNED_FAIL_OVER, F.STARTED)
UNPLANNED: tuple[Word, ...] = (*SEEDED, C.FAIL_OVER, F.STARTED)
COMMITTED: tuple[Word, ...] = (C.COMMIT, F.COMMITTED)
HOME: tuple[Word, ...] = (C.FAIL_BACK, F.CAME_HOME)
USUAL = {"PlannedFailover", "UnplannedFailover", "DisableProtection", "TestFailover"}

# What a machine went through; its state, where it works, and which of the operations that are recorded for
# this it allows. Not ours: CompleteMigration is of migrations, and DisableProtection needs a commit first.
RECORDED = [
    ((C.ENABLE,), "UnprotectedStatesBegin", "Primary", set()),
    ((C.ENABLE, F.RELATED), "UnprotectedStatesBegin", "Primary", set()),
    (SEEDED, "Protected", "Primary", USUAL),
    (PLANNED, "PlannedFailoverCommitRequired", "Recovery", {"Commit", "ChangePit"}),
    (UNPLANNED, "UnplannedFailoverCommitPendingStatesBegin", "Recovery", {"Commit", "ChangePit"}),
    ((*PLANNED, *COMMITTED), "PlannedFailoverStatesBegin", "Recovery", {"DisableProtection", "Failback"}),
    ((*UNPLANNED, *COMMITTED), "UnplannedFailoverCommitted", "Recovery", {"DisableProtection"}),
    ((*PLANNED, *COMMITTED, *HOME), "PlannedFailoverCommitRequired", "Primary", {"Commit"}),
    ((*UNPLANNED, *COMMITTED, *HOME), "PlannedFailoverCommitRequired", "Primary", {"Commit"}),
    (
        (*PLANNED, *COMMITTED, *HOME, *COMMITTED),
        *("RestoreFinalized", "Primary", {"ReverseReplicate", "DisableProtection"}),
    ),
    (
        (*PLANNED, *COMMITTED, *HOME, *COMMITTED, C.REPROTECT, F.RELATED, F.SEEDED),
        *("Protected", "Primary", USUAL),
    ),
    ((*PLANNED, C.CANCEL, F.CANCELLED), "Protected", "Primary", USUAL),
    (
        (*UNPLANNED, *COMMITTED, C.FAIL_BACK, F.LET_BE),
        *("UnplannedFailoverCommitted", "Recovery", {"DisableProtection", "Failback"}),
    ),
]
# States after which recordings show no other operation than those.
WHOLE = {"Protected", "RestoreFinalized"}


@pytest.mark.parametrize(("words", "state", "location", "operations"), RECORDED)
def test_a_standing_is_told_in_the_recorded_words(
    words: tuple[Word, ...], state: str, location: str, operations: set[str]
) -> None:
    item = ProtectedItem("i", "v", "web")
    for word in words:
        item = item.after(word)
    said = states.protection(item)
    assert (said[0], states.location(item)) == (state, location)
    assert operations <= set(states.allowed(item))
    if state in WHOLE:
        assert set(states.allowed(item)) == operations
