"""A Debian with PostgreSQL in it: its database consents to points, and one of them is opened and boots."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bascule.model.machines import DiskPlace, MachineDefinition
from lab import debian, machines
from lab.guests import agent_channel
from lab.waiting import wait_until
from tests.lab.agents import Agent
from tests.lab.test_replicator import COMMAND

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
]
BOOTED_S = 600  # half a minute where nothing else runs


def call(room: Path, *words: str | Path) -> Any:
    settings = os.environ | {"BASCULE_KEY_FILE": str(room / "main.key")}
    settings["BASCULE_PROVIDER"] = str(room / "provider")
    done = subprocess.run([*COMMAND, *words, "--json"], env=settings, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if words[0] != "restore" else None


def in_guest(room: Path, *words: str) -> str:
    agent = Agent(room / "web.agent")
    try:
        return agent.run(*words)
    finally:
        agent.close()


def points(room: Path) -> dict[str, int]:
    """Return of each consistency the newest point that has it."""
    if not call(room, "status", "web")["groups"][0]["cycles"]:
        return {}
    found = call(room, "store", "ls", room / "store", "web")["points"]
    return {point["consistency"]: point["number"] for point in found}


def test_postgresql_consents_to_a_point_that_boots_and_one_that_is_stopped_does_not(tmp_path: Path) -> None:
    """R-RP-1: without its consent the point has its file systems at rest, and an event says why."""
    call(tmp_path, "key", "create", tmp_path / "main.key")
    call(tmp_path, "store", "init", tmp_path / "store")
    definition = debian.make("debian", tmp_path / "disks")
    options = [*agent_channel(tmp_path / "web.agent"), "-qmp", f"unix:{tmp_path}/web.qmp,server=on,wait=off"]
    words = ["protect", tmp_path / "web.qmp", tmp_path / "store", "--group", "web", "--every", "5s"]
    with machines.guest(definition, options) as guest:
        guest.hear(f"{debian.UP} 1 starts", BOOTED_S)
        call(tmp_path, *words, "--consistent-every", "5s", "--application", "postgresql")
        provider = subprocess.Popen(
            [*COMMAND, "provider", "run", tmp_path / "provider"],
            env=os.environ | {"BASCULE_KEY_FILE": str(tmp_path / "main.key")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: "application" in points(tmp_path), 300)
            call(tmp_path, "pause", "web")
            wait_until(lambda: call(tmp_path, "status", "web")["groups"][0]["state"] == "paused", 120)
            in_guest(tmp_path, "/bin/systemctl", "stop", "postgresql@15-main")
            call(tmp_path, "resume", "web")
            wait_until(lambda: "filesystem" in points(tmp_path), 300)
        finally:
            provider.kill()
            provider.wait()
        guest.kill()
    told = call(tmp_path, "status", "web", "--events")["events"]
    why = [one["message"] for one in told if one["event"] == "only-file-system-consistent"]
    assert any("web: a script in the guest ended with" in message for message in why)

    opened = tmp_path / "opened.qcow2"
    call(tmp_path, "restore", tmp_path / "store", f"web/{points(tmp_path)['application']}", opened)
    place = DiskPlace("boot", str(opened), "qcow2")
    with machines.guest(MachineDefinition("debian", definition.hardware, (place,))) as guest:
        guest.hear(f"{debian.UP} 2 starts", BOOTED_S)
