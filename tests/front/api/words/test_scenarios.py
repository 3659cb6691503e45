"""Nothing that a vault knows is without a word of Azure's."""

from __future__ import annotations

from bascule.front.api.words import scenarios, states
from bascule.model.vault.item import Command, Protection, TestFailover
from bascule.model.vault.job import JobState, TaskState


def test_each_command_and_each_state_has_a_word() -> None:
    assert scenarios.SCENARIOS.keys() == set(Command)
    assert scenarios.STATES.keys() == set(JobState)
    assert scenarios.TASK_STATES.keys() == set(TaskState)
    assert states.PROTECTION.keys() == set(Protection)
    assert states.TEST.keys() == set(TestFailover)
