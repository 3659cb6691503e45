"""What a job is called, and its tasks, in the words of Azure Site Recovery.

Names that stand in public recordings are marked; the others are read from its manuals, or are our own steps
in its spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bascule.model.vault.item import Command
from bascule.model.vault.job import Act, Job, JobState, TaskState

C, S = Command, JobState

SCENARIOS: Mapping[Command, tuple[str, str]] = {
    C.ENABLE: ("EnableDr", "Enable replication"),
    C.FINALIZE: ("IrCompletion", "Finalize protection"),  # recorded
    C.DISABLE: ("DisableDr", "Disable replication"),
    C.TEST_FAIL_OVER: ("TestFailover", "Test failover"),  # recorded
    C.CLEAN_UP: ("TestFailoverCleanup", "Cleanup test failover"),
    C.FAIL_OVER: ("UnplannedFailover", "Failover"),  # recorded
    C.CHANGE_POINT: ("ChangePit", "Change recovery point"),
    C.COMMIT: ("CommitFailover", "Commit"),  # recorded
    C.CANCEL: ("CancelFailover", "Cancel failover"),
    C.RESYNC: ("RepairReplication", "Resynchronize"),
    C.PLANNED_FAIL_OVER: ("PlannedFailover", "Planned failover"),
    C.REPROTECT: ("ReProtect", "Reverse replicate"),
    C.FAIL_BACK: ("PlannedFailover", "Failback"),
    C.UPDATE: ("UpdateVmProperties", "Update target settings"),
    C.FOLLOW_POLICY: ("UpdatePolicy", "Update replication policy"),
}

TASKS: Mapping[tuple[Command, str], str] = {
    (C.FAIL_OVER, "check the recovery side"): "VmUfoPrerequisitesCheck",
    (C.FAIL_OVER, "shut the machine down and send its last changes"): "VmShutdownVmOnPrimary",
    (C.FAIL_OVER, "fence the source"): "VmPrepareForUnPlannedFailover",
    (C.FAIL_OVER, "choose the point"): "VmFailover",
    (C.FAIL_OVER, "start the machine"): "VmFoStartVmOnSecondary",
    (C.PLANNED_FAIL_OVER, "check the recovery side"): "VmPfoPrerequisitesCheck",
    (C.PLANNED_FAIL_OVER, "shut the machine down and send its last changes"): "VmShutdownVmOnPrimary",
    (C.PLANNED_FAIL_OVER, "choose the point"): "VmFailover",
    (C.PLANNED_FAIL_OVER, "start the machine"): "VmFoStartVmOnSecondary",
    (C.COMMIT, "check the recovery side"): "VmCommitPrerequisitesCheck",
    (C.COMMIT, "remove the other points"): "VmCommit",
}
"""Recorded, all of them. A failover has the second only where it is asked to shut the source down."""

STATES: Mapping[JobState, tuple[str, str]] = {
    S.QUEUED: ("NotStarted", "NotStarted"),
    S.RUNNING: ("InProgress", "InProgress"),
    S.WAITING: ("Suspended", "WaitingForManualAction"),
    S.SUCCEEDED: ("Succeeded", "Completed"),
    S.FAILED: ("Failed", "Failed"),
    S.CANCELLED: ("Cancelled", "Cancelled"),
}

TASK_STATES: Mapping[TaskState, tuple[str, str]] = {
    TaskState.RUNNING: ("InProgress", "InProgress"),
    TaskState.SUCCEEDED: ("Succeeded", "Completed"),
    TaskState.FAILED: ("Failed", "Failed"),
    TaskState.CANCELLED: ("Cancelled", "Cancelled"),
    TaskState.PASSED_OVER: ("Other", "Skipped"),
}

ACTIONS: Mapping[Act, str] = {Act.CANCEL: "Cancel", Act.RESUME: "Resume", Act.RESTART: "Restart"}

PROGRESS: Mapping[JobState, str] = {
    S.SUCCEEDED: "Succeeded",
    S.FAILED: "Failed",
    S.CANCELLED: "Canceled",
}
"""How an operation is said to have ended by whoever waits for it; before that it is InProgress."""


def state_of(job: Job) -> tuple[str, str]:
    """Return a job's state and its description; one that has begun is in progress between its attempts."""
    has_begun = job.state is S.QUEUED and job.started is not None
    state, description = STATES[S.RUNNING if has_begun else job.state]
    if job.state is S.SUCCEEDED and any(task.state is TaskState.PASSED_OVER for task in job.tasks):
        description = "CompletedWithInformation"
    return state, description


def task_name(job: Job, step: str) -> str:
    """Return what a step of a job is called."""
    words = re.split(r"[^A-Za-z0-9]+", step)
    return TASKS.get((job.command, step)) or "Vm" + "".join(word[:1].upper() + word[1:] for word in words)
