"""The one full guest: it comes up, its agent answers, and its database remembers across a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import debian, machines
from lab.guests import agent_channel
from tests.lab.agents import Agent

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 and not debian.place().exists(), reason="only root can unpack a Debian"
    ),
]
BOOTED_S = 600  # half a minute where nothing else runs


@pytest.mark.lab
def test_a_debian_boots_from_its_disk_and_its_database_and_agent_answer(tmp_path: Path) -> None:
    definition = debian.make("debian", tmp_path / "disks")
    with machines.guest(definition, agent_channel(tmp_path / "agent")) as guest:
        guest.hear(f"{debian.UP} 1 starts", BOOTED_S)
        agent = Agent(tmp_path / "agent")
        assert agent.ask("guest-fsfreeze-freeze") == 1
        assert agent.ask("guest-fsfreeze-thaw") == 1
        assert agent.run("/bin/systemctl", "is-active", "ssh") == "active\n"
        agent.close()


@pytest.mark.long
def test_what_a_debians_database_knows_survives_a_power_cut(tmp_path: Path) -> None:
    definition = debian.make("debian", tmp_path / "disks")
    with machines.guest(definition) as guest:
        guest.hear(f"{debian.UP} 1 starts", BOOTED_S)
        guest.kill()
    with machines.guest(definition, agent_channel(tmp_path / "agent")) as guest:
        guest.hear(f"{debian.UP} 2 starts", BOOTED_S)
        agent = Agent(tmp_path / "agent")
        agent.tell("guest-shutdown")
        guest.wait(BOOTED_S)
        agent.close()
