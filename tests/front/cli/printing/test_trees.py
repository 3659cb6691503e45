from __future__ import annotations

import io

from rich.console import Console
from rich.live import Live

from bascule.front.cli.printing.trees import Forest


def job(name: str, state: str, *tasks: tuple[str, str]) -> dict[str, object]:
    said = {"friendlyName": name, "targetObjectName": "web", "state": state}
    return {
        "name": name,
        "properties": said | {"tasks": [{"friendlyName": one, "state": at} for one, at in tasks]},
    }


def test_jobs_are_drawn_with_their_tasks_and_how_each_ended() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Live(console=console, auto_refresh=False) as live:
        forest = Forest(live)
        forest.look(job("Enable", "Succeeded", ("check", "Succeeded")))
        forest.look(job("Failover", "InProgress", ("fence", "Failed"), ("start", "NotStarted")))
        live.refresh()
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    for said in ("Enable of web", "Failover of web", "check", "fence", "start (NotStarted)", "✓", "✗"):
        assert said in drawn
