"""What may be done with a job, from its table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bascule.model.errors import Refused
from bascule.model.vault.item import Command
from bascule.model.vault.job import Act, Job, JobId, JobState, Task, TaskState
from bascule.model.vault.vault import Vault

JOB = Job(JobId("j"), "north", "i", Command.FAIL_OVER, 1, 0.0)


@pytest.mark.parametrize(
    ("state", "acts"),
    [
        (JobState.QUEUED, (Act.CANCEL,)),
        (JobState.RUNNING, (Act.CANCEL,)),
        (JobState.WAITING, (Act.CANCEL, Act.RESUME)),
        (JobState.FAILED, (Act.RESTART,)),
        (JobState.SUCCEEDED, ()),
        (JobState.CANCELLED, ()),
    ],
)
def test_a_person_is_offered_what_the_state_allows(state: JobState, acts: tuple[Act, ...]) -> None:
    assert replace(JOB, state=state).allowed() == acts


def test_a_job_is_not_cancelled_twice() -> None:
    assert replace(JOB, is_cancelling=True).allowed() == ()


def test_a_job_that_ended_well_stays_so() -> None:
    done = replace(JOB, state=JobState.SUCCEEDED)
    for act in Act:
        with pytest.raises(Refused, match="the job is succeeded"):
            done.after(act)


def test_a_task_that_ends_stays_in_its_place() -> None:
    fence, start = Task("fence", TaskState.RUNNING, 1.0), Task("start", TaskState.RUNNING, 2.0)
    ended = replace(fence, state=TaskState.SUCCEEDED, ended=3.0)
    assert JOB.with_task(fence).with_task(start).with_task(ended).tasks == (ended, start)


@pytest.mark.parametrize("name", ["", "x", "-north", "no space", "a" * 51, "nord\n"])
def test_a_name_that_no_address_can_hold_is_no_name_of_a_vault(name: str) -> None:
    with pytest.raises(Refused, match="cannot be the name of a vault"):
        Vault(name)
