"""Jobs, and the operations that they are to whoever began one and waits. Both have the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from bascule.model.errors import Missing
from bascule.model.vault.item import Command
from bascule.model.vault.job import Act, Failure, Job, JobId, JobState, Task, TaskState

from ..answers import Answer, moment, page
from ..asking import Ask
from ..errors import TurnedAway, detail
from ..filters import Filter
from ..naming import resource
from ..words import scenarios

PAGE = 200
_OF_FAILOVERS = (
    Command.FAIL_OVER,
    Command.PLANNED_FAIL_OVER,
    Command.FAIL_BACK,
    Command.COMMIT,
    Command.CANCEL,
    Command.CHANGE_POINT,
)
_NOBODY = "1753-01-01T01:01:01Z"


def list_all(ask: Ask) -> Answer:
    """Return the jobs of a vault, the newest first, a page at a time."""
    wanted = Filter.of(ask, ("AffectedObjectTypes", "JobName", "JobStatus", "StartTime", "EndTime"))
    found = list(islice((job for job in _jobs(ask) if wanted.allows(_facts(job))), PAGE + 1))
    shown = found[:PAGE]
    names = _names(ask, *shown)
    return page(ask, (_job(ask, one, names) for one in shown), shown[-1].id if len(found) > PAGE else "")


def get(ask: Ask) -> Answer:
    """Return a job."""
    found = _found(ask)
    return Answer(body=_job(ask, found, _names(ask, found)))


def cancel(ask: Ask) -> Answer:
    """Let a job take back what it did."""
    return _act(ask, Act.CANCEL)


def restart(ask: Ask) -> Answer:
    """Let a failed job go on from the step that failed."""
    return _act(ask, Act.RESTART)


def resume(ask: Ask) -> Answer:
    """Answer what a job asks a person."""
    return _act(ask, Act.RESUME, ask.text("properties", "comments"))


def export(ask: Ask) -> Answer:
    """Return where the jobs of a vault are to be had as a file."""
    ask.service.jobs.list(ask.caller, ask.vault, 1)
    uri = f"{ask.base}{ask.home}/replicationJobs/export/csv?api-version={ask.version}"
    now: Mapping[str, object] = {
        **{"scenarioName": "ExportJobs", "friendlyName": "Export jobs", "state": "Succeeded"},
        **{"stateDescription": "Completed", "tasks": [], "errors": [], "allowedActions": []},
        "customDetails": {"instanceType": "ExportJobDetails", "blobUri": uri, "sasToken": ""},
    }
    return Answer(body=resource(ask.home, "replicationJobs/export", "replicationJobs", now))


def exported(ask: Ask) -> Answer:
    """Return the jobs of a vault as CSV."""
    text = ask.service.jobs.export_csv(ask.caller, ask.vault)
    return Answer(body=text.encode(), headers={"Content-Type": "text/csv; charset=utf-8"})


def status(ask: Ask) -> Answer:
    """Return how far an operation is."""
    job = _found(ask)
    return Answer(
        body={
            **{"id": None, "name": job.id, "status": progress(job), "error": failure_of(job)},
            **{"startTime": moment(job.created), "endTime": moment(job.ended)},
            **{"properties": None, "percentComplete": None},
        },
        headers={} if job.is_ended else {"Retry-After": "1"},
    )


def progress(job: Job) -> str:
    """Return how far an operation is, in the words of whoever waits for one."""
    return scenarios.PROGRESS.get(job.state, "InProgress")


def failure_of(job: Job) -> Mapping[str, object] | None:
    """Return why an operation did not succeed."""
    if job.state is JobState.CANCELLED:
        return detail("cancelled", "the job was cancelled", "")
    if job.state is not JobState.FAILED or job.failure is None:
        return None
    return detail(job.failure.code, job.failure.message, job.failure.cure)


def _act(ask: Ask, act: Act, answer: str = "") -> Answer:
    job = ask.service.jobs.act(ask.caller, ask.vault, JobId(ask.names["job"].lower()), act, answer)
    return Answer(body=_job(ask, job, _names(ask, job)))


def _found(ask: Ask) -> Job:
    return ask.service.jobs.get(ask.caller, ask.vault, JobId(ask.names["job"].lower()))


def _jobs(ask: Ask) -> Iterator[Job]:
    """Yield the jobs behind the one that a page ended with, read a page at a time."""
    after = ask.query.get("$skiptoken", "")
    try:
        while jobs := ask.service.jobs.list(ask.caller, ask.vault, PAGE + 1, after):
            yield from jobs
            if len(jobs) <= PAGE:
                return
            after = jobs[-1].id
    except Missing as error:
        raise TurnedAway(
            "the page that was to be followed is not there any more", cure="list from the start"
        ) from error


def _names(ask: Ask, *jobs: Job) -> Mapping[str, str]:
    return ask.service.items.names(ask.caller, ask.vault, frozenset(job.item for job in jobs))


def _facts(job: Job) -> Mapping[str, str]:
    started, ended = moment(job.started or job.created), moment(job.ended)
    return {
        **{"affectedobjecttypes": "ProtectionEntity", "jobname": scenarios.SCENARIOS[job.command][0]},
        **{"jobstatus": scenarios.state_of(job)[0], "starttime": started or "", "endtime": ended or ""},
    }


def _job(ask: Ask, job: Job, names: Mapping[str, str]) -> Mapping[str, object]:
    scenario, friendly = scenarios.SCENARIOS[job.command]
    state, description = scenarios.state_of(job)
    name = names.get(job.item, job.item)
    return resource(
        ask.home,
        f"replicationJobs/{job.id}",
        "replicationJobs",
        {
            **{"activityId": f"{job.id} ActivityId: {job.id}", "scenarioName": scenario},
            **{"friendlyName": friendly, "state": state, "stateDescription": description},
            "tasks": [_task(job, task) for task in job.tasks],
            "errors": list(_errors(job)),
            **{"startTime": moment(job.started or job.created), "endTime": moment(job.ended)},
            "allowedActions": [word for act, word in scenarios.ACTIONS.items() if act in job.allowed()],
            **{"targetObjectId": job.item, "targetObjectName": name},
            "targetInstanceType": "ProtectionEntity",
            "customDetails": _details(job, name),
        },
    )


def _details(job: Job, name: str) -> Mapping[str, object]:
    affected: Mapping[str, object] = {"affectedObjectDetails": {"primaryVmId": job.item}}
    point = str(job.input.get("point") or next((one.value for one in job.tasks if "point" in one.name), ""))
    item = {"name": job.item, "friendlyName": name, "recoveryPointId": point}
    if job.command is Command.TEST_FAIL_OVER:
        more = {"testFailoverStatus": scenarios.state_of(job)[0], "protectedItemDetails": [item]}
        return {"instanceType": "TestFailoverJobDetails", **affected, **more}
    if job.command in _OF_FAILOVERS:
        return {"instanceType": "FailoverJobDetails", **affected, "protectedItemDetails": [item]}
    return {"instanceType": "AsrJobDetails", **affected}


def _task(job: Job, task: Task) -> Mapping[str, object]:
    state, description = scenarios.TASK_STATES[task.state]
    description = _standing(task) or description
    name = scenarios.task_name(job, task.name)
    return {
        **{"taskId": f"{job.id}/{name}", "name": name, "friendlyName": task.name},
        **{"startTime": moment(task.started), "endTime": moment(task.ended), "allowedActions": []},
        **{"state": state, "stateDescription": description, "taskType": "VmTaskDetails"},
        "customDetails": {"instanceType": "TaskDetails"},
        "errors": [_error(job, task.name, task.failure, task.ended)] if task.failure else [],
    }


def _standing(task: Task) -> str:
    """Say what a task waits for and how far that is, empty for one that waits for nothing."""
    far = task.headway
    if not task.waits or far is None or not far.total_bytes:
        return task.waits
    left = "" if far.seconds_left is None else f", {far.seconds_left:.0f} s left"
    return f"{far.done_bytes / far.total_bytes:.0%} of {far.total_bytes} bytes{left}: {task.waits}"


def _errors(job: Job) -> Iterable[Mapping[str, object]]:
    failed = [task for task in job.tasks if task.failure]
    yield from (_error(job, task.name, task.failure, task.ended) for task in failed if task.failure)
    if job.failure and not any(task.failure == job.failure for task in failed):
        yield _error(job, "", job.failure, job.ended)


def _error(job: Job, step: str, failure: Failure, at: float | None) -> Mapping[str, object]:
    task = job.task(step)
    is_over = task is not None and task.state is TaskState.PASSED_OVER
    return {
        "serviceErrorDetails": _service_error(failure),
        **{"errorLevel": "Warning" if is_over else "Error", "creationTime": moment(at) or _NOBODY},
        "taskId": f"{job.id}/{scenarios.task_name(job, step)}" if step else "",
    }


def _service_error(failure: Failure) -> Mapping[str, object]:
    return {
        **{"code": failure.code, "message": failure.message, "possibleCauses": failure.message},
        "recommendedAction": failure.cure,
    }


HANDLERS = {
    "replication_jobs.list": list_all,
    "replication_jobs.get": get,
    "replication_jobs.cancel": cancel,
    "replication_jobs.restart": restart,
    "replication_jobs.resume": resume,
    "replication_jobs.export": export,
    "jobs.exported": exported,
    "waiting.status": status,
}
