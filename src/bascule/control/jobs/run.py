"""One attempt at a job, as a workflow sees it: steps that are done once, waits, and how it ended.

Order of a step: the task is written down as begun; the act is done outside; what it returned is written down.
A kill before the last of these leads to the same act with the same token; a kill after it to none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import TypeVar

import structlog

from bascule.model.errors import BasculeError, Cancelled, Unavailable, Underway
from bascule.model.hours import next_at
from bascule.model.items import Headway
from bascule.model.vault.item import Command, Fact, Side
from bascule.model.vault.job import Failure, Job, JobState, Task, TaskState, Value
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock
from bascule.ports.sites import Order, Waiting

T = TypeVar("T")
log = structlog.get_logger("control.jobs")

_RETRY_SECONDS = (1.0, 2.0, 4.0)
"""How long a step waits for who does not answer, before the job fails and waits for a person's restart."""

_PATIENCE_SECONDS = 1.0
LOOK_SECONDS = 60.0
"""When an attempt that waits for somebody looks again by itself; news of it wakes the job at once."""


REST_SECONDS = 600.0
"""When an attempt looks at the clock again that waits for a time of the day."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended: what became of the item, and the job that follows in the same transaction.

    ``point`` is the point that its machine runs from now, ``settings`` what is kept of what it is to be over
    there; None leaves what is known. A ``warning`` becomes an event of the item.
    """

    fact: Fact | None
    point: str | None = None
    then: Command | None = None
    settings: str | None = None
    is_stopped: bool = False
    warning: str = ""


class Superseded(Exception):
    """Somebody else runs this job now. Whoever sees it stops without a word."""


class Parked(Exception):
    """There is nothing to do for so many seconds; ``waits`` and ``headway`` say what is waited for."""

    def __init__(self, seconds: float, waits: str = "", headway: Headway | None = None) -> None:
        super().__init__(f"nothing to do for {seconds:g} s")
        self.seconds = seconds
        self.waits = waits
        self.headway = headway


class Asked(Exception):
    """A person is asked something."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What an attempt needs: the catalog, the time, and by which name it runs."""

    catalog: Catalog
    clock: Clock
    runner: str


def insist(clock: Clock, act: Callable[[], T]) -> T:
    """Do something in the catalog, and wait for as long as that does not answer: no job fails of it."""
    while True:
        try:
            return act()
        except Unavailable as error:
            log.warning("jobs.catalog_waited_for", error=str(error))
            clock.sleep(_PATIENCE_SECONDS)


class Run:
    """An attempt that is under way."""

    def __init__(self, desk: Desk, job: Job) -> None:
        self._desk = desk
        self._job = job

    @property
    def item(self) -> str:
        """The item that the job is about."""
        return self._job.item

    @property
    def is_away(self) -> bool:
        """Does the machine work on the recovery side?"""
        return self._job.side is Side.RECOVERY

    @property
    def is_returning(self) -> bool:
        """Is the machine coming home, or has it come, and that can be taken back?"""
        return self._job.is_returning

    @property
    def is_direct(self) -> bool:
        """Does it come home without having been replicated back before?"""
        return self._job.is_direct

    def input(self, name: str) -> str:
        """Return something that the command was given, empty if it was not."""
        return str(self._job.input.get(name) or "")

    def step(self, name: str, act: Callable[[Order], Value], *, firmly: bool = False) -> Value:
        """Do something once, and return what it returned, now or in an earlier attempt.

        Raises Cancelled instead if somebody cancelled the job, unless it is done ``firmly``. What is under
        way outside ends the attempt, and the next one asks for it again.
        """
        done = self._begin(name, firmly=firmly)
        if done is not None:
            return done.value
        try:
            value = self._patiently(name, lambda: act(self._order(name)))
        except BasculeError as error:
            failure = Failure(error.code, error.message, error.cure)
            self._note(name, TaskState.FAILED, None, failure)
            raise
        self._note(name, TaskState.SUCCEEDED, value, None)
        return value

    def until(self, name: str, is_so: Callable[[Order], bool], every_seconds: float = LOOK_SECONDS) -> None:
        """Go on when something is so; until then the attempt ends, and holds no thread."""
        if self._begin(name, firmly=False) is not None:
            return
        if not self._patiently(name, lambda: is_so(self._order(name))):
            raise Parked(every_seconds)
        self._note(name, TaskState.SUCCEEDED, None, None)

    def rest(self, name: str, of_day: time) -> None:
        """Go on at the first such time of the day since the command was given, by this server's clock."""
        if self._begin(name, firmly=False) is not None:
            return
        moment = next_at(of_day, datetime.fromtimestamp(self._job.created))
        left = moment.timestamp() - self._desk.clock.now()
        if left > 0:
            # Looked at now and then, for somebody may set the clock.
            parked = Parked(min(left, REST_SECONDS), f"it begins at {moment:%Y-%m-%d %H:%M:%S}")
            self._note_wait(name, parked)
            raise parked
        self._note(name, TaskState.SUCCEEDED, None, None)

    def attempt(self, name: str, act: Callable[[Order], None], seconds: float) -> None:
        """Do something once if it goes well within so many seconds; else go on, and the task says why not."""
        if self._begin(name, firmly=False) is not None:
            return
        known = self._job.task(name)
        now = self._desk.clock.now()
        left = seconds - (now - known.started if known is not None else 0.0)
        try:
            act(self._order(name))
        except Underway as error:
            if left > 0:
                raise self._waiting(name, error, min(left, LOOK_SECONDS)) from error
            failure = Failure("took-too-long", f"{error.message}, within {seconds:g} s", error.cure)
            self._note(name, TaskState.PASSED_OVER, None, failure)
        except BasculeError as error:
            failure = Failure(error.code, error.message, error.cure)
            self._note(name, TaskState.PASSED_OVER, None, failure)
        else:
            self._note(name, TaskState.SUCCEEDED, None, None)

    def ask(self, name: str, question: str) -> str:
        """Return what a person answered; until somebody does the job waits, and holds no thread."""
        done = self._begin(name, firmly=False)
        if done is not None:
            return str(done.value)
        if not self._job.answer:
            raise Asked(question)
        self._note(name, TaskState.SUCCEEDED, self._job.answer, None)
        return self._job.answer

    def mine(self, books: Books) -> Job:
        """Return the job as it is now, or raise Superseded if it is not ours any more."""
        job = books.jobs.get(self._job.vault, self._job.id)
        is_ours = job.runner == self._desk.runner and job.attempt == self._job.attempt
        if not is_ours or job.state is not JobState.RUNNING:
            raise Superseded(f"job {job.id} is not {self._desk.runner}'s any more")
        return job

    def _begin(self, name: str, *, firmly: bool) -> Task | None:
        return insist(self._desk.clock, lambda: self._begun(name, firmly=firmly))

    def _begun(self, name: str, *, firmly: bool) -> Task | None:
        with self._desk.catalog.writing() as books:
            job = self.mine(books)
            known = job.task(name)
            if known is not None and known.state.is_behind:
                return known
            is_over = job.is_cancelling and not firmly
            if is_over and known is not None and known.state is TaskState.RUNNING:
                ended = replace(known, state=TaskState.CANCELLED, ended=self._desk.clock.now())
                books.jobs.save(job.with_task(ended))
            elif not is_over and (known is None or known.state is not TaskState.RUNNING):
                books.jobs.save(job.with_task(Task(name, TaskState.RUNNING, self._desk.clock.now())))
        if is_over:
            raise Cancelled(f"job {job.id} was cancelled before {name}")
        return None

    def _note(self, name: str, state: TaskState, value: Value, failure: Failure | None) -> None:
        def note() -> None:
            with self._desk.catalog.writing() as books:
                job = self.mine(books)
                known = job.task(name)
                if known is not None:
                    now = self._desk.clock.now()
                    task = replace(known, state=state, ended=now, value=value, failure=failure)
                    books.jobs.save(job.with_task(replace(task, waits="", headway=None)))

        insist(self._desk.clock, note)

    def _waiting(self, name: str, error: Underway, seconds: float) -> Parked:
        headway = error.headway if isinstance(error, Waiting) else None
        parked = Parked(seconds, error.message, headway)
        self._note_wait(name, parked)
        return parked

    def _note_wait(self, name: str, parked: Parked) -> None:
        """Say in a task what it waits for, where that is something else than before."""

        def note() -> None:
            with self._desk.catalog.writing() as books:
                job = self.mine(books)
                known = job.task(name)
                if known is not None and (known.waits, known.headway) != (parked.waits, parked.headway):
                    task = replace(known, waits=parked.waits, headway=parked.headway)
                    books.jobs.save(job.with_task(task))

        insist(self._desk.clock, note)

    def _order(self, name: str) -> Order:
        job = self._job
        return Order(job.vault, job.item, job.generation, job.turn, f"{job.id}/{name}")

    def _patiently(self, name: str, act: Callable[[], Value]) -> Value:
        for seconds in _RETRY_SECONDS:
            try:
                return act()
            except Underway as error:
                raise self._waiting(name, error, LOOK_SECONDS) from error
            except Unavailable:
                self._desk.clock.sleep(seconds)
        return act()
