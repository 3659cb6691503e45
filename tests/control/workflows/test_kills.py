"""The vault is killed after every step of every workflow, and each job ends as it would have."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.vault.item import Command, Protection, Side
from bascule.model.vault.job import JobState, TaskState
from tests.control.vaults import ITEM, LIFE, VAULT
from tests.servers.postgres import Postgres

ROOT = Path(__file__).parents[3]
# What an undisturbed life does outside, in order. Nothing may come twice, and nothing may be left out.
EFFECTS = [
    *("relate", "settle", "resync", "start test", "remove test"),
    *("fence", "start failover", "remove failover", "start failover", "remove failover", "let_go"),
    *("reshape {}", "follow", "shut down", "start failover", "keep_only", "relate back", "follow back"),
    *("level", "hand over", "come home by changes", "give up", "take back"),
    *("hand over", "come home whole", "keep", "release", "relate again", "settle"),
    *("shut down", "fence", "start failover", "keep_only"),
    *("relate back", "level", "hand over", "come home by changes", "give up", "take back", "unrelate back"),
    *("relate back", "level", "hand over", "come home by changes", "keep", "release"),
    *("relate again", "settle"),
    *("fence", "start failover", "keep_only", "unrelate", "unrelate back", "remove test", "forget"),
]
C = Command
CANCELLED = {C.ENABLE: 1, C.FINALIZE: 3, C.RESYNC: 1, C.TEST_FAIL_OVER: 1, C.UPDATE: 1, C.REPROTECT: 3}
CANCELLED |= {C.FOLLOW_POLICY: 2, C.FAIL_OVER: 7, C.PLANNED_FAIL_OVER: 2, C.FAIL_BACK: 9}
"""How often each command is cancelled in a life: after each effect of it that can be taken back."""

FINALIZED = 4
"""How many of its commands are followed by a job of their own that waits for a first copy."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def live_through(words: str, world: Path, moment: str) -> int:
    """Return how often the vault was killed in the item's life."""
    command = [sys.executable, "-m", "tests.control.killing", words, str(world), moment]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return int(done.stdout.split()[-1])


def assert_well(words: str, world: Path) -> None:
    catalog = SqlCatalog(words)
    with catalog.reading() as books:
        jobs, item = books.jobs.list(VAULT), books.items.get(VAULT, ITEM)
    catalog.close()
    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * (len(LIFE) + FINALIZED)
    assert (item.protection, item.side) == (Protection.UNPROTECTED, Side.PRIMARY)
    assert item.route.source == "other"
    sites = FakeSites(world)
    assert sites.effects(ITEM) == EFFECTS
    assert sites.standing(ITEM) == {"machines": [], "points": [], "marks": [], "related": []}


@pytest.mark.parametrize(
    ("moment", "least"),
    [
        pytest.param("before", len(EFFECTS), marks=pytest.mark.lab),
        pytest.param("after", len(EFFECTS), marks=pytest.mark.lab),
        # Some two hundred deaths, half a minute of processor time.
        pytest.param("committed", 150, marks=pytest.mark.long),
    ],
)
def test_killed_at_every_step_of_every_workflow_all_jobs_end_as_they_would_have(
    moment: str, least: int, tmp_path: Path
) -> None:
    words, world = str(tmp_path / "catalog.db"), tmp_path / "world.db"
    assert live_through(words, world, moment) >= least
    assert_well(words, world)


@pytest.mark.lab
def test_killed_amid_what_a_cancelled_job_takes_back_both_sides_are_as_they_were(tmp_path: Path) -> None:
    """Each job is cancelled after each of its effects; its vault is killed there, and on the way back."""
    words, world = str(tmp_path / "catalog.db"), tmp_path / "world.db"
    assert live_through(words, world, "cancelled") >= len(EFFECTS) + 14
    catalog, sites = SqlCatalog(words), FakeSites(world)
    with catalog.reading() as books:
        jobs, item = books.jobs.list(VAULT), books.items.get(VAULT, ITEM)
    catalog.close()
    assert Counter(job.command for job in jobs if job.state is JobState.CANCELLED) == CANCELLED
    assert {job.state for job in jobs} == {JobState.CANCELLED, JobState.SUCCEEDED}
    assert not [task for job in jobs for task in job.tasks if task.state is TaskState.RUNNING]
    assert item.protection is Protection.UNPROTECTED
    assert sites.standing(ITEM) == {"machines": [], "points": [], "marks": [], "related": []}


@pytest.mark.lab
def test_killed_after_every_effect_on_postgres_all_jobs_end_as_they_would_have(
    server: Postgres, tmp_path: Path
) -> None:
    words, world = server.database(), tmp_path / "world.db"
    assert live_through(words, world, "after") == len(EFFECTS)
    assert_well(words, world)
