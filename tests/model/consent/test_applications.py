"""The shipped scripts, run here with clients that note what they are told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bascule.model.consent.applications import APPLICATIONS, application, applications_of
from bascule.model.errors import Refused
from bascule.model.policies import Policy

_MYSQL = """#!/bin/sh
while read line; do
    echo "$line" >> "$BASCULE_RUN/asked"
    case "$line" in *"READ LOCK"*) [ -e "$BASCULE_RUN/deny" ] && { echo denied; exit 1; }; echo locked;; esac
    [ -e "$BASCULE_RUN/crash" ] && exit 1
done
echo gone >> "$BASCULE_RUN/asked"
"""
_RUNUSER = """#!/bin/sh
echo "$@" >> "$BASCULE_RUN/asked"
[ ! -e "$BASCULE_RUN/deny" ] || { echo "is the server running?"; exit 2; }
"""


class Inside:
    """What a guest has: clients in its path, and a folder for what runs."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.path = room / "bin"
        self.path.mkdir()
        # Scripts look for mariadb first, and this machine may have a real one.
        for name, script in (("mariadb", _MYSQL), ("runuser", _RUNUSER)):
            (self.path / name).write_text(script)
            (self.path / name).chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        words = {"PATH": f"{self.path}:{os.environ['PATH']}", "BASCULE_RUN": str(self.room)}
        return subprocess.run(
            ["/bin/sh", "-c", script], env=words, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def asked(self) -> str:
        return (self.room / "asked").read_text()


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


def test_mysql_is_locked_until_the_script_after_lets_go(inside: Inside) -> None:
    mysql = APPLICATIONS["mysql"]
    assert inside.run(mysql.before).returncode == 0
    assert "FLUSH TABLES WITH READ LOCK" in inside.asked
    assert "gone" not in inside.asked, "the session holds the lock"
    assert inside.run(mysql.after).returncode == 0
    assert "gone" in inside.asked
    assert inside.run(mysql.before).returncode == 0, "again"
    assert inside.run(mysql.after).returncode == 0


def test_mysql_that_refuses_the_lock_fails_the_script_before_and_says_why(inside: Inside) -> None:
    (inside.room / "deny").touch()
    done = inside.run(APPLICATIONS["mysql"].before)
    assert (done.returncode, done.stdout) == (1, "the tables are not locked:\ndenied\n")


def test_mysql_whose_lock_was_lost_meanwhile_fails_the_script_after(inside: Inside) -> None:
    mysql = APPLICATIONS["mysql"]
    (inside.room / "crash").touch()
    inside.run(mysql.before)
    done = inside.run(f"while [ ! -e {inside.room}/bascule-mysql.code ]; do sleep 0.02; done; {mysql.after}")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "the tables were not locked any more")


def test_a_script_after_without_one_before_fails(inside: Inside) -> None:
    assert inside.run(APPLICATIONS["mariadb"].after).returncode == 1


def test_postgresql_writes_a_checkpoint_or_fails(inside: Inside) -> None:
    script = APPLICATIONS["postgresql"].before
    assert inside.run(script).returncode == 0
    assert inside.asked == "-u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c CHECKPOINT\n"
    (inside.room / "deny").touch()
    done = inside.run(script)
    assert (done.returncode, done.stdout) == (2, "is the server running?\n")


def test_applications_are_named_for_one_machine_or_for_all() -> None:
    assert application("db=mysql") == ("db", APPLICATIONS["mysql"])
    assert applications_of("db", ("db=mysql", "web=postgresql")) == [APPLICATIONS["mysql"]]
    assert applications_of("db", ("postgresql",)) == [APPLICATIONS["postgresql"]]
    with pytest.raises(Refused, match="'oracle' names no application"):
        Policy(applications=("oracle",))
    with pytest.raises(Refused, match="that is off"):
        Policy(applications=("mysql",), agent="off")
