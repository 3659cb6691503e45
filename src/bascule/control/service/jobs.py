"""Jobs, as those see and steer them who gave the commands (R-OP-1)."""

from __future__ import annotations

from dataclasses import replace

from bascule.control.jobs.export import to_csv, to_json
from bascule.control.jobs.jobs import Jobs
from bascule.model.vault.access import Caller, Right, right_for
from bascule.model.vault.job import Act, Job, JobId

from .gate import Call, Gate

_EXPORTED = 100_000


class JobDesk:
    """The jobs of vaults. Who may give a command may also cancel, answer and restart its job."""

    def __init__(self, gate: Gate, jobs: Jobs) -> None:
        self._gate = gate
        self._jobs = jobs

    def list(self, caller: Caller, vault: str, limit: int = 1000, after: str = "") -> tuple[Job, ...]:
        """Return a vault's jobs, the newest first: so many at most, behind a job or from the first."""
        with self._gate.reading(Call(caller, "list-jobs", vault, Right.READ)) as books:
            return books.jobs.list(vault, limit, after)

    def open(self, caller: Caller, vault: str) -> tuple[Job, ...]:
        """Return the jobs of a vault that have not ended; an item has one at most."""
        with self._gate.reading(Call(caller, "list-jobs", vault, Right.READ)) as books:
            return books.jobs.open(vault)

    def get(self, caller: Caller, vault: str, id: JobId) -> Job:
        """Return a job, or raise Missing."""
        with self._gate.reading(Call(caller, "show-job", vault, Right.READ, id)) as books:
            return books.jobs.get(vault, id)

    def act(self, caller: Caller, vault: str, id: JobId, act: Act, answer: str = "") -> Job:
        """Cancel a job, resume it with an answer, or restart it; refused as it stands."""
        call = Call(caller, f"{act}-job", vault, Right.READ, id)
        with self._gate.writing(call) as books:
            self._gate.require(books, replace(call, right=right_for(books.jobs.get(vault, id).command)))
            return self._jobs.act_in(books, vault, id, act, answer)

    def export_csv(self, caller: Caller, vault: str) -> str:
        """Return a vault's jobs as CSV, one line for each task."""
        with self._gate.reading(Call(caller, "export-jobs", vault, Right.READ)) as books:
            return to_csv(books.jobs.list(vault, _EXPORTED))

    def export_json(self, caller: Caller, vault: str) -> str:
        """Return a vault's jobs as JSON."""
        with self._gate.reading(Call(caller, "export-jobs", vault, Right.READ)) as books:
            return to_json(books.jobs.list(vault, _EXPORTED))
