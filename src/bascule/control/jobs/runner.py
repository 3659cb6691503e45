"""Runs attempts: where every error of a workflow ends, and where what a job led to is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event, Thread

import structlog

from bascule.model.errors import BasculeError, Cancelled, Unavailable
from bascule.model.vault.item import Command
from bascule.model.vault.job import Act, Failure, Job, JobId, JobState
from bascule.model.vault.signs import event as signs
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock, Ids
from bascule.ports.nodes import Nodes

from .jobs import Jobs
from .queue import DurableQueue
from .run import Asked, Desk, Ending, Parked, Run, Superseded, insist

Workflow = Callable[[Run], Ending]
log = structlog.get_logger("control.jobs")


class Runner:
    """Runs the attempts that the queue hands it; one object for all of them."""

    def __init__(self, jobs: Jobs, catalog: Catalog, queue: DurableQueue, clock: Clock, ids: Ids) -> None:
        self._jobs = jobs
        self._catalog = catalog
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._workflows: Mapping[Command, Workflow] = {}
        self._is_stopping = Event()
        self._ends: Counter[str] = Counter()

    def serve(self, workflows: Mapping[Command, Workflow], nodes: Nodes, every_seconds: float = 5.0) -> None:
        """Begin to run attempts, each by the workflow of its job's command, and those of dead nodes too."""
        self._workflows = workflows
        nodes.join(self._queue.node)
        self._queue.start(self.attempt)
        self._take_over(nodes)
        if lost := self._jobs.enqueue_lost():
            log.warning("jobs.lost_entries_enqueued", attempts=lost)
        self._watch = Thread(target=self._watch_over, args=(nodes, every_seconds), daemon=True)
        self._watch.start()

    def check(self) -> str:
        """Tell that attempts are run and watched over, or raise Unavailable."""
        if not self._watch.is_alive():
            raise Unavailable("nobody watches over jobs", cure="restart the server, and report its log")
        return f"{self._ends.total()} attempts ended"

    def tally(self) -> tuple[tuple[str, int], ...]:
        """Return in which state how many attempts left their jobs since the start."""
        return tuple(sorted(self._ends.items()))

    def stop(self, nodes: Nodes) -> None:
        """Finish the attempts that run, and leave."""
        self._is_stopping.set()
        self._watch.join()
        self._queue.stop()
        nodes.leave()

    def _watch_over(self, nodes: Nodes, every_seconds: float) -> None:
        while not self._is_stopping.wait(every_seconds):
            self._take_over(nodes)

    def _take_over(self, nodes: Nodes) -> None:
        try:
            taken = self._queue.take_over(nodes.is_alive)
        except Unavailable as error:
            log.warning("jobs.catalog_waited_for", error=str(error))
            return
        if taken:
            log.info("jobs.taken_over", attempts=taken)

    def attempt(self, vault: str, id: str, number: int) -> None:
        """Run one attempt to its end, which is written down before this returns."""
        runner = self._ids.random(8).hex()
        job = insist(self._clock, lambda: self._begin(vault, JobId(id), number, runner))
        if job is None:
            return
        run = Run(Desk(self._catalog, self._clock, runner), job)
        # Whatever is logged for the job, in whichever room, names it and its item.
        with structlog.contextvars.bound_contextvars(job=job.id, item=job.item):
            log.info("jobs.attempt_began", command=job.command.value, attempt=number)
            try:
                end = self._outcome(run, job)
                state = insist(self._clock, lambda: self._write(run, end))
                self._ends[state.value] += 1
                log.info("jobs.attempt_ended", state=state.value)
            except Superseded:
                log.info("jobs.attempt_superseded", attempt=number)

    def _begin(self, vault: str, id: JobId, number: int, runner: str) -> Job | None:
        with self._catalog.writing() as books:
            job = books.jobs.get(vault, id)
            if job.attempt != number or job.is_ended:
                return None  # an entry that was taken again after its attempt had ended
            started = job.started or self._clock.now()
            begun = replace(
                job.after(Act.BEGIN), runner=runner, turn=job.turn + 1, started=started, has_news=False
            )
            return books.jobs.save(begun)

    def _outcome(self, run: Run, job: Job) -> Callable[[Books, Job], None]:
        try:
            ending = self._workflows[job.command](run)
        except Parked as parked:
            return self._pause(parked.seconds)
        except Asked as asked:
            return self._ask(str(asked))
        except Superseded:
            raise
        except Cancelled:
            return self._end(Ending(None, is_stopped=True))
        except BasculeError as error:
            return self._fail(Failure(error.code, error.message, error.cure))
        except Exception as error:
            # A supervisor: what is wrong with a workflow is its job's failure.
            log.exception("jobs.workflow_broke")
            cure = "this is a mistake in Bascule: report it, with the log"
            return self._fail(Failure("bug", f"{type(error).__name__}: {error}", cure))
        return self._end(ending)

    def _write(self, run: Run, end: Callable[[Books, Job], None]) -> JobState:
        with self._catalog.writing() as books:
            job = run.mine(books)
            end(books, job)
            return books.jobs.get(job.vault, job.id).state

    def _pause(self, seconds: float) -> Callable[[Books, Job], None]:
        def end(books: Books, job: Job) -> None:
            after = replace(job.after(Act.PAUSE), attempt=job.attempt + 1, runner="")
            is_urgent = job.is_cancelling or job.has_news
            self._queue.put(books.connection, books.jobs.save(after), 0.0 if is_urgent else seconds)

        return end

    def _ask(self, question: str) -> Callable[[Books, Job], None]:
        def end(books: Books, job: Job) -> None:
            if job.is_cancelling:  # it was, after the workflow looked and before it waits
                self._pause(0.0)(books, job)
            else:
                books.jobs.save(replace(job.after(Act.ASK), question=question))

        return end

    def _fail(self, failure: Failure) -> Callable[[Books, Job], None]:
        def end(books: Books, job: Job) -> None:
            books.jobs.save(replace(job.after(Act.FAIL), failure=failure, ended=self._clock.now()))

        return end

    def _end(self, ending: Ending) -> Callable[[Books, Job], None]:
        def end(books: Books, job: Job) -> None:
            act = Act.STOP if ending.is_stopped else Act.SUCCEED
            books.jobs.save(replace(job.after(act), ended=self._clock.now()))
            item = books.items.get(job.vault, job.item)
            if ending.fact is not None:
                item = item.after(ending.fact)
            if ending.point is not None:
                item = replace(item, point=ending.point)
            if ending.settings is not None:
                item = replace(item, settings=ending.settings)
            books.items.save(item)
            if ending.warning:
                now, code = self._clock.now(), f"{job.command.name.lower().replace('_', '-')}-warning"
                said = (code, signs.Health.WARNING, ending.warning)
                books.events.add(signs.Event(job.vault, now, job.item, *said))
            if ending.then is not None:
                self._jobs.submit_in(books, job.vault, job.item, ending.then, {}, job.by)

        return end
