"""Jobs as people make and change them. Item, job and queue change in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from bascule.model.errors import Refused, Unavailable
from bascule.model.vault.item import CARRY_POLICY, Command, Move, ProtectedItem
from bascule.model.vault.job import Act, Job, JobId, JobState, Value
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.news import News

from .queue import DurableQueue

log = structlog.get_logger("control.jobs")


class Jobs:
    """The jobs of a server's vaults. Safe to use from several threads."""

    def __init__(self, catalog: Catalog, queue: DurableQueue, clock: Clock, ids: Ids) -> None:
        self._catalog = catalog
        self._queue = queue
        self._clock = clock
        self._ids = ids

    def submit(
        self, vault: str, item: str, command: Command, input: Mapping[str, Value] | None = None, by: str = ""
    ) -> Job:
        """Accept a command and return its job; Refused as the item stands, Exists if it has a job already."""
        with self._catalog.writing() as books:
            return self.submit_in(books, vault, item, command, input or {}, by)

    def submit_in(
        self, books: Books, vault: str, item: str, command: Command, input: Mapping[str, Value], by: str
    ) -> Job:
        """Accept a command in a transaction that somebody else has begun."""
        after = books.items.get(vault, item).after(command)
        if command is Command.FAIL_BACK:
            after = replace(after, bound_for=str(input.get("host") or ""))
        if command in CARRY_POLICY:
            # By the revision of now: should it change before the host is told, it is told once more.
            after = replace(after, policy_revision=_revision(books, after))
        after = books.items.save(after)
        job = Job(
            id=JobId(self._ids.random(16).hex()),
            vault=vault,
            item=item,
            command=command,
            generation=after.generation,
            created=self._clock.now(),
            side=after.side,
            is_returning=after.move is Move.HOME,
            is_direct=after.is_direct,
            input=dict(input),
            by=by,
        )
        books.jobs.add(job)
        self._queue.put(books.connection, job)
        return job

    def get(self, vault: str, id: JobId) -> Job:
        """Return a job, or raise Missing."""
        with self._catalog.reading() as books:
            return books.jobs.get(vault, id)

    def list(self, vault: str, limit: int = 1000) -> tuple[Job, ...]:
        """Return a vault's jobs, the newest first."""
        with self._catalog.reading() as books:
            return books.jobs.list(vault, limit)

    def cancel(self, vault: str, id: JobId) -> Job:
        """Ask a job to take back what it did and end; it does so before its next step."""
        return self._act(vault, id, Act.CANCEL)

    def hear(self, news: News) -> None:
        """Let the jobs look again that wait for what a host has said, in whichever vault they are.

        A catalog that does not answer costs time only: a job looks by itself in the end.
        """
        job = news.order.partition(".")[0]
        try:
            with self._catalog.reading() as books:
                found = books.jobs.open(id=job) if job else books.jobs.open(item=news.group)
            for one in found:
                self.tell(one.vault, one.item)
        except Unavailable as error:
            log.warning("jobs.news_missed", item=news.group, error=str(error))

    def tell(self, vault: str, item: str) -> None:
        """Let the item's job look again now, if it has one that waits for news."""
        with self._catalog.reading() as books:
            if books.jobs.going_on(vault, item) is None:
                return
        with self._catalog.writing() as books:
            job = books.jobs.going_on(vault, item)
            if job is not None and job.state is JobState.QUEUED and job.attempt > 1:
                self._again(books, job)
            elif job is not None and job.state is JobState.RUNNING and not job.has_news:
                books.jobs.save(replace(job, has_news=True))

    def resume(self, vault: str, id: JobId, answer: str) -> Job:
        """Answer what a job asks, and let it go on."""
        return self._act(vault, id, Act.RESUME, answer)

    def restart(self, vault: str, id: JobId) -> Job:
        """Let a failed job go on from the step that failed."""
        return self._act(vault, id, Act.RESTART)

    def act_in(self, books: Books, vault: str, id: JobId, act: Act, answer: str = "") -> Job:
        """Cancel, resume or restart a job in a transaction that somebody else has begun."""
        job = self._allowed(books, vault, id, act)
        after = job.after(act)
        if act is Act.CANCEL:
            after = replace(after, is_cancelling=True)
            # One that is queued may be so for later, because it has nothing to do.
            is_idle = after.state is JobState.QUEUED
            return self._again(books, after) if is_idle else books.jobs.save(after)
        if act is Act.RESUME:
            return self._again(books, replace(after, question="", answer=answer or "yes"))
        item = books.items.get(vault, job.item)
        if not item.can_restart(job.generation, job.command):
            raise Refused(
                f"{item.name} was given other commands since job {id}", cure="give the command again"
            )
        if item.generation != job.generation:
            # What was told since came from later orders than the job's, which are to be heard again.
            item = books.items.save(replace(item, generation=item.generation + 1, told=0))
            after = replace(after, generation=item.generation)
        return self._again(books, replace(after, ended=None, failure=None))

    def enqueue_lost(self) -> int:
        """Enqueue again what should wait or run and is in no queue, and return how many jobs that were.

        An attempt ends in the catalog before its entry does; so what has moved on since we looked is let be.
        """
        with self._catalog.reading() as books:
            going_on = [job for job in books.jobs.open() if job.state is not JobState.WAITING]
        enqueued = 0
        for job in self._queue.missing(going_on):
            with self._catalog.writing() as books:
                if books.jobs.get(job.vault, job.id) == job:
                    self._again(books, job.after(Act.PAUSE) if job.state is JobState.RUNNING else job)
                    enqueued += 1
        return enqueued

    def purge(self, keep_seconds: float) -> int:
        """Forget the jobs that ended longer ago, and return how many there were."""
        with self._catalog.writing() as books:
            gone = books.jobs.forget(self._clock.now() - keep_seconds)
        # A kill here leaves entries of the queue that nobody asks for: they have ended too.
        self._queue.forget(gone)
        return len(gone)

    def _act(self, vault: str, id: JobId, act: Act, answer: str = "") -> Job:
        with self._catalog.writing() as books:
            return self.act_in(books, vault, id, act, answer)

    def _allowed(self, books: Books, vault: str, id: JobId, act: Act) -> Job:
        job = books.jobs.get(vault, id)
        if act not in job.allowed():
            allowed = ", ".join(job.allowed()) or "nothing"
            raise Refused(
                f"the {job.command} job {id} is {job.state}: no {act} now",
                cure=f"what it allows is {allowed}",
                code="not-allowed",
            )
        return job

    def _again(self, books: Books, job: Job) -> Job:
        saved = books.jobs.save(replace(job, attempt=job.attempt + 1, runner=""))
        self._queue.put(books.connection, saved)
        return saved


def _revision(books: Books, item: ProtectedItem) -> int:
    policy = item.route.policy
    return books.policies.get(item.vault, policy).revision if policy else 0
