"""Jobs as a file for other programs (R-OP-1): JSON with everything, CSV with a line for each task."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

from bascule.model.vault.job import Job

_COLUMNS = (
    *("job", "vault", "item", "command", "by", "state", "created", "started", "ended"),
    *("task", "task_state", "task_started", "task_ended", "code", "message", "cure"),
)


def to_json(jobs: Iterable[Job]) -> str:
    """Return jobs as a JSON list."""
    return json.dumps([asdict(job) for job in jobs], indent=1)


def to_csv(jobs: Iterable[Job]) -> str:
    """Return jobs as CSV, one line for each task, and one for a job without any.

    Spreadsheets take what begins with ``=`` and its kin for a formula: such a text gets an apostrophe before.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(_COLUMNS)
    for job in jobs:
        head = (job.id, job.vault, job.item, job.command, job.by, job.state)
        times = (_moment(job.created), _moment(job.started), _moment(job.ended))
        for task in job.tasks or (None,):
            failure = (task and task.failure) or job.failure
            rest = (task.name, task.state, _moment(task.started), _moment(task.ended)) if task else ("",) * 4
            why = (failure.code, failure.message, failure.cure) if failure else ("",) * 3
            lines.writerow([_harmless(str(cell)) for cell in (*head, *times, *rest, *why)])
    return text.getvalue()


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
