from __future__ import annotations

import os
from pathlib import Path

import pytest

from bascule.drivers.commands.host import HostCommands
from bascule.model.errors import Unavailable


def test_a_command_learns_for_whom_it_runs_and_no_secrets(tmp_path: Path) -> None:
    commands = HostCommands({"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "secret"})
    script = f'echo "$BASCULE_GROUP $AWS_SECRET_ACCESS_KEY." > {tmp_path}/said'
    commands.run(["sh", "-c", script], {"BASCULE_GROUP": "web"}, 30)
    assert (tmp_path / "said").read_text() == "web .\n"


def test_a_command_that_fails_says_what_it_said(tmp_path: Path) -> None:
    commands = HostCommands(os.environ)
    with pytest.raises(Unavailable, match="ended with 3: the database is away"):
        commands.run(["sh", "-c", "echo the database is away; exit 3"], {}, 30)
    with pytest.raises(Unavailable, match="cannot be run: No such file"):
        commands.run([str(tmp_path / "absent")], {}, 30)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    commands = HostCommands(os.environ)
    with pytest.raises(Unavailable, match=r"longer than 0\.3 s"):
        commands.run(["sh", "-c", f"sleep 60; touch {tmp_path}/went-on"], {}, 0.3)
    assert not (tmp_path / "went-on").exists()


def test_a_command_may_leave_a_process_behind() -> None:
    HostCommands(os.environ).run(["sh", "-c", "sleep 60 &"], {}, 50)  # to wait for it would be refused
