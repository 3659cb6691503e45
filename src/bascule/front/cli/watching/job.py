"""``bascule job``: what was commanded, how far it is, and what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen, say
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.remote.server import Server
from bascule.front.cli.remote.waiting import end_of, tasks_of
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_text

from .narrowing import Since, filtered

app = typer.Typer(
    name="job",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Jobs of a vault. Each ends as it would have, whatever dies meanwhile.",
)
Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.", show_default=False)]


@app.command("ls")
def list_jobs(
    *,
    context: typer.Context,
    state: Annotated[
        str,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only those that are NotStarted, InProgress, Suspended, Succeeded, Failed or Cancelled.",
            show_default=False,
        ),
    ] = "",
    item: Annotated[
        str,
        typer.Option("--item", metavar="ITEM", help="Only those of this machine.", show_default=False),
    ] = "",
    since: Since = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """List the jobs of a vault, the newest first.

    \b
    Examples:
      bascule job ls
      bascule job ls --state Failed --since 7d
      bascule job ls --item web
    """
    server = server_of(context, profile, vault)
    found = server.all("replication_jobs.list", **filtered({"JobStatus": state}, since, server.clock))
    if item:
        found = [
            one for one in found if text(properties(one)["targetObjectName"]).casefold() == item.casefold()
        ]

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        what, began = text(said["friendlyName"]), _at(said.get("startTime"))
        return (
            text(one["name"]),
            text(said["targetObjectName"]),
            what,
            text(said["state"]),
            began,
            _at(said.get("endTime")),
        )

    listed(found, ("JOB", "ITEM", "WHAT", "STATE", "BEGAN", "ENDED"), row, is_json=is_json)


@app.command()
def show(
    context: typer.Context, job: Job, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Show a job: its tasks, what went wrong and what to do.

    \b
    Example:
      bascule job show 5d1e…
    """
    found = server_of(context, profile, vault).get("replication_jobs.get", job)
    said = properties(found)
    lines = [f"{said['friendlyName']} of {said['targetObjectName']}: {said['state']}"]
    lines += [f"  {name}: {state} {took}".rstrip() for name, state, took in tasks_of(found)]
    for one in said.get("errors") or ():
        details = one["serviceErrorDetails"]
        lines.append(f"{details['message']} ({details['recommendedAction']})")
    if allowed := said.get("allowedActions"):
        lines.append(f"It may be told: {', '.join(word.lower() for word in allowed)}")
    Screen(is_json=is_json).show(found, lines)


@app.command()
def wait(
    context: typer.Context, job: Job, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Wait for the end of a job, and show its tasks meanwhile. The exit code is what came of it.

    \b
    Example:
      bascule job wait 5d1e…
    """
    screen = Screen(is_json=is_json)
    found = end_of(server_of(context, profile, vault), screen, job)
    said = properties(found)
    screen.show({"job": found}, [f"{said['friendlyName']} of {said['targetObjectName']}: done."])


@app.command()
def cancel(
    context: typer.Context, job: Job, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Let a job take back what it did.

    \b
    Example:
      bascule job cancel 5d1e…
    """
    _steer(server_of(context, profile, vault), job, "cancel", is_json=is_json)


@app.command()
def restart(
    context: typer.Context, job: Job, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Let a failed job go on from the step that failed.

    \b
    Example:
      bascule job restart 5d1e…
    """
    _steer(server_of(context, profile, vault), job, "restart", is_json=is_json)


@app.command()
def resume(
    context: typer.Context,
    job: Job,
    answer: Annotated[
        str, typer.Option("--answer", metavar="TEXT", help="The answer to what it asks.", show_default=False)
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Let a job go on that asks somebody something.

    \b
    Example:
      bascule job resume 5d1e… --answer yes
    """
    body = {"properties": {"comments": answer}}
    _steer(server_of(context, profile, vault), job, "resume", body, is_json=is_json)


@app.command()
def export(context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False) -> None:
    """Print a vault's jobs as CSV, one line for each task; or with all that is known of them as JSON.

    \b
    Example:
      bascule job export > jobs.csv
    """
    server = server_of(context, profile, vault)
    if is_json:
        Screen(is_json=True).show({"value": server.all("replication_jobs.list")}, ())
        return
    say(str(server.send("GET", "replicationJobs/export/csv")).rstrip("\n"))


def _steer(server: Server, job: str, act: str, *more: object, is_json: bool) -> None:
    server.begin(f"replication_jobs.{act}", job, *more)
    found = server.get("replication_jobs.get", job)
    Screen(is_json=is_json).show(found, [f"Job {job} is {properties(found)['state']}."])


def _at(moment: object) -> str:
    return moment_text(moment_from(str(moment))) if moment else ""
