"""A job: one command of a person on its way, written down so that it survives whoever runs it (R-OP-1).

A job runs in *attempts*. An attempt ends when the job does, when it waits for a person, or when there is
nothing to do for a while; what is done by then is in the journal, and the next attempt goes on after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NewType

from bascule.model.items import Headway

from .item import Command, Side
from .machine import Machine

Value = str | int | bool | None
"""What a step may return: it is written down as JSON."""

JobId = NewType("JobId", str)


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting for a person"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Act(StrEnum):
    """What happens to a job: its runner's words first, then what a person may do with it."""

    BEGIN = "begin"
    PAUSE = "pause"
    ASK = "ask"
    SUCCEED = "succeed"
    FAIL = "fail"
    STOP = "stop"
    CANCEL = "cancel"
    RESUME = "resume"
    RESTART = "restart"


J, A = JobState, Act

JOB = Machine(
    name="the job",
    start=J.QUEUED,
    table={
        (J.QUEUED, A.BEGIN): J.RUNNING,
        # Its runner died, and another one takes it up.
        (J.RUNNING, A.BEGIN): J.RUNNING,
        (J.RUNNING, A.PAUSE): J.QUEUED,
        (J.RUNNING, A.ASK): J.WAITING,
        (J.WAITING, A.RESUME): J.QUEUED,
        (J.RUNNING, A.SUCCEED): J.SUCCEEDED,
        (J.RUNNING, A.FAIL): J.FAILED,
        (J.RUNNING, A.STOP): J.CANCELLED,
        (J.QUEUED, A.CANCEL): J.QUEUED,
        (J.RUNNING, A.CANCEL): J.RUNNING,
        (J.WAITING, A.CANCEL): J.QUEUED,
        (J.FAILED, A.RESTART): J.QUEUED,
    },
)

FORWARD_ONLY = frozenset({Command.CANCEL, Command.DISABLE, Command.CLEAN_UP})
"""Commands that take away: half done there is no way but on."""

OF_PERSONS = (A.CANCEL, A.RESUME, A.RESTART)
ENDED = (J.SUCCEEDED, J.FAILED, J.CANCELLED)


class TaskState(StrEnum):
    """How far a task of a job is. One that was passed over was not done, and the job went on without it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PASSED_OVER = "passed over"

    @property
    def is_behind(self) -> bool:
        """Does the job go on after it?"""
        return self in (TaskState.SUCCEEDED, TaskState.PASSED_OVER)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: a stable code, the cause, and what to do."""

    code: str
    message: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One step of a job as a person sees it. ``value`` is what it returned: the job's journal.

    ``waits`` says what a step waits for that was begun, and ``headway`` how far that is, if somebody knows.
    """

    name: str
    state: TaskState
    started: float
    ended: float | None = None
    value: Value = None
    failure: Failure | None = None
    waits: str = ""
    headway: Headway | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One command on its way. ``generation`` is the item's, and every order to a site carries it; ``side`` is
    the one that worked when the command was given, and ``is_returning`` whether the machine comes home,
    ``is_direct`` without having been replicated back before.

    ``runner`` is who runs it now: a process that was taken for dead and is not finds another's name there,
    and stops. ``turn`` counts the runners, for the sites to know the last one. ``is_cancelling`` is the flag
    that steps look at. ``has_news`` says that something came in of what the job may be waiting for, so that
    it looks again before it waits. ``question`` is what a person is asked, and ``answer`` what was said.
    """

    id: JobId
    vault: str
    item: str
    command: Command
    generation: int
    created: float
    side: Side = Side.PRIMARY
    is_returning: bool = False
    is_direct: bool = False
    input: Mapping[str, Value] = field(default_factory=dict)
    by: str = ""
    state: JobState = JobState.QUEUED
    attempt: int = 1
    turn: int = 0
    runner: str = ""
    is_cancelling: bool = False
    has_news: bool = False
    question: str = ""
    answer: str = ""
    started: float | None = None
    ended: float | None = None
    failure: Failure | None = None
    tasks: tuple[Task, ...] = ()
    version: int = 0

    @property
    def is_ended(self) -> bool:
        """Will nothing more happen unless somebody asks for it?"""
        return self.state in ENDED

    def after(self, act: Act) -> Job:
        """Return the job after an act, or refuse it."""
        return replace(self, state=JOB.after(self.state, act))

    def allowed(self) -> tuple[Act, ...]:
        """Return what a person may do with the job now."""
        return tuple(
            act
            for act in OF_PERSONS
            if JOB.accepts(self.state, act) and not (act is Act.CANCEL and not self._can_be_cancelled)
        )

    @property
    def _can_be_cancelled(self) -> bool:
        return not self.is_cancelling and self.command not in FORWARD_ONLY

    def task(self, name: str) -> Task | None:
        """Return a task by its name, if it was begun."""
        return next((task for task in self.tasks if task.name == name), None)

    def with_task(self, task: Task) -> Job:
        """Return the job with a task put in or replaced."""
        if self.task(task.name) is None:
            return replace(self, tasks=(*self.tasks, task))
        tasks = (task if known.name == task.name else known for known in self.tasks)
        return replace(self, tasks=tuple(tasks))
