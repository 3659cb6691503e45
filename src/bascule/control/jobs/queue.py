"""The durable queue of attempts: DBOS, and the only file that knows it.

Asked of it: an entry appears with the caller's transaction or not at all; one process takes it; if that
process dies, it is taken again. Nothing else of it is used: the journal is the job's own (design note 0011),
so its checkpoints, its patch markers and its serialiser of errors never hold anything of ours.

DBOS keeps its state in globals, so a process has one queue.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, Serializer

from bascule.model.vault.job import Job

_QUEUE = "bascule-jobs"
_WORKFLOW = "bascule-attempt"
_ALIVE = ["ENQUEUED", "DELAYED", "PENDING"]
_AT_ONCE = 500
_VERSION = "bascule-1"
"""Not the code's version: any Bascule goes on with the jobs of any other."""

Work = Callable[[str, str, int], None]
_working: list[Work] = []
_under_way: set[int] = set()
"""The threads that run an attempt."""


def batched(names: list[str], size: int) -> Iterator[list[str]]:
    """Yield names in pieces that a question may be about."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


class _Json(Serializer):
    """What DBOS keeps of ours is three words. Never pickle: who can write to the database would run code."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=repr)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)

    def name(self) -> str:
        return "bascule_json"


@DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
def _attempt(vault: str, job: str, number: int) -> None:
    thread = threading.get_ident()
    _under_way.add(thread)
    try:
        _working[-1](vault, job, number)
    finally:
        _under_way.discard(thread)


class DurableQueue:
    """Attempts that wait to be run, by this process or by another one of the same database.

    ``node`` names this process and no other, not even the one that was here before it. A job looks into the
    queue after each answer of a host, so the pauses between looks add up in every failover; five looks a
    second cost an idle server one hundredth of a core more than one does.
    """

    def __init__(self, engine: object, node: str, *, workers: int = 20, poll_seconds: float = 0.2) -> None:
        assert isinstance(engine, sa.Engine)
        is_sqlite = engine.dialect.name == "sqlite"
        config = DBOSConfig(
            name="bascule",
            system_database_url="sqlite:///catalog" if is_sqlite else "postgresql://at/catalog",
            system_database_engine=engine,
            executor_id=node,
            application_version=_VERSION,
            serializer=_Json(),
            use_listen_notify=False,
            # Nobody listens; but whoever stops waits for one look of it to end.
            notification_listener_polling_interval_sec=min(1.0, 10 * poll_seconds),
            log_level="ERROR",
            max_executor_threads=2 * workers,
        )
        self.node = node
        self._engine = engine
        self._workers = workers
        self._poll_seconds = poll_seconds
        DBOS(config=config)

    def start(self, work: Work) -> None:
        """Run attempts from now on."""
        _working.append(work)
        DBOS.launch()
        self._client = DBOSClient(
            system_database_engine=self._engine, serializer=_Json(), application_name="bascule"
        )
        DBOS.register_queue(_QUEUE, worker_concurrency=self._workers, polling_interval_sec=self._poll_seconds)

    def put(self, connection: object, job: Job, delay_seconds: float = 0.0) -> None:
        """Add a job's attempt in the transaction of a connection; what is there already stays one."""
        assert isinstance(connection, sa.Connection)
        options: Any = {
            "queue_name": _QUEUE,
            "workflow_name": _WORKFLOW,
            "workflow_id": f"{job.id}.{job.attempt}",
            "app_version": _VERSION,
        }
        if delay_seconds:
            options["delay_seconds"] = delay_seconds
        self._client.enqueue_in_transaction(connection, options, job.vault, job.id, job.attempt)

    def take_over(self, is_alive: Callable[[str], bool]) -> int:
        """Let somebody run what nodes that are dead were at, our own earlier lives among them.

        Returns how many attempts that were. Of several who ask this at once all may; an attempt that is run
        twice is run to its end by the one who began it last.
        """
        taken = 0
        for found in DBOS.list_workflows(status="PENDING", name=_WORKFLOW, load_input=False):
            if not is_alive(found.executor_id or ""):
                DBOS.resume_workflow(found.workflow_id, queue_name=_QUEUE)
                taken += 1
        return taken

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs whose attempt is neither waiting nor running, as far as this queue knows."""
        asked = {f"{job.id}.{job.attempt}": job for job in jobs}
        for names in batched(list(asked), _AT_ONCE):
            found = DBOS.list_workflows(
                workflow_ids=names, status=_ALIVE, load_input=False, load_output=False
            )
            for one in found:
                del asked[one.workflow_id]
        return list(asked.values())

    def forget(self, jobs: tuple[Job, ...]) -> None:
        """Remove what is left of the attempts at jobs."""
        ids = [f"{job.id}.{number}" for job in jobs for number in range(1, job.attempt + 1)]
        if ids:
            DBOS.delete_workflows(ids)

    def stop(self, grace_seconds: int = 30) -> None:
        """Take no more attempts, and wait for those that run; what is cut short is run at the next start."""
        # DBOS looks for the first time after a whole second whether anything runs still.
        DBOS.destroy(workflow_completion_timeout_sec=grace_seconds if _under_way else 0)
        self._client.destroy()
        _working.pop()
