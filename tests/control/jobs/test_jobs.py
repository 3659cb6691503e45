"""Jobs are cancelled, restarted, answered and exported, as their states allow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from bascule.control.jobs.export import to_csv, to_json
from bascule.control.jobs.run import Ending, Run
from bascule.control.jobs.runner import Workflow
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.errors import Exists, Fenced, Refused, Underway
from bascule.model.vault.item import Command, Fact, Protection, Side, TestFailover
from bascule.model.vault.job import Act, Job, JobState, TaskState
from bascule.ports.sites import Order
from bascule.ports.vault.news import News
from lab.waiting import wait_until
from tests.control.vaults import ITEM, VAULT, Node, start

Start = Callable[..., Node]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    found: list[Node] = []

    def begin_one(instead: Mapping[Command, Workflow] | None = None) -> Node:
        found.append(start(SqlCatalog(str(tmp_path / "c.db")), FakeSites(tmp_path / "w.db"), instead))
        return found[-1]

    yield begin_one
    for node in found:
        node.stop()


def protected(node: Node) -> Node:
    node.do(Command.ENABLE)
    node.settled()
    return node


@pytest.mark.slow
def test_a_failover_that_is_cancelled_leaves_both_sides_usable(begin: Start) -> None:
    node = protected(begin())

    def cancel(verb: str, token: str, moment: str) -> None:
        if (verb, moment) == ("fence", "after"):
            [job] = [job for job in node.jobs.list(VAULT) if not job.is_ended]
            node.jobs.cancel(VAULT, job.id)

    node.sites.interrupt = cancel
    job = node.do(Command.FAIL_OVER)
    assert job.state is JobState.CANCELLED
    assert (node.item().protection, node.item().side) == (Protection.PROTECTED, Side.PRIMARY)
    assert node.sites.standing(ITEM) == {
        "machines": [],
        "points": [1, 2, 3],
        "marks": [],
        "related": [(0,)],
    }


@pytest.mark.slow
def test_a_job_that_failed_goes_on_from_the_step_that_failed(begin: Start) -> None:
    node = protected(begin())
    node.sites.fail("start failover", "unavailable", "the host is down")
    job = node.do(Command.FAIL_OVER)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.message == "web: the host is down"
    assert job.allowed() == (Act.RESTART,)
    assert node.item().protection is Protection.FAILING_OVER
    node.sites.fail("start failover")
    job = node.ended(node.jobs.restart(VAULT, job.id))
    assert job.state is JobState.SUCCEEDED
    assert node.sites.effects(ITEM).count("fence") == 1
    assert node.item().point == "web/3"


@pytest.mark.slow
def test_finalising_goes_on_after_the_settings_that_were_refused_are_corrected(begin: Start) -> None:
    """R-P-4: nobody has to protect the machine anew, and its first copy stays."""
    node = begin()
    node.sites.fail("settle", "refused", "this host has no network blue")
    protected(node)
    [failed] = [job for job in node.jobs.list(VAULT) if job.command is Command.FINALIZE]
    assert (failed.state, failed.allowed()) == (JobState.FAILED, (Act.RESTART,))
    assert {Command.UPDATE, Command.FINALIZE} <= set(node.item().allowed())
    assert node.do(Command.UPDATE, settings='{"as": "asked"}').state is JobState.SUCCEEDED
    node.sites.fail("settle")
    assert node.ended(node.jobs.restart(VAULT, failed.id)).state is JobState.SUCCEEDED
    assert (node.item().protection, node.item().settings) == (Protection.PROTECTED, '{"as": "asked"}')
    assert node.sites.effects(ITEM) == ["relate", 'reshape {"as": "asked"}', "settle"]
    assert node.do(Command.TEST_FAIL_OVER).state is JobState.SUCCEEDED, "later orders are not taken for old"


def test_settings_that_failed_to_be_kept_do_not_come_back_after_later_ones(begin: Start) -> None:
    node = protected(begin())
    node.sites.fail("reshape 1", "refused", "no")
    failed = node.do(Command.UPDATE, settings="1")
    assert failed.state is JobState.FAILED
    node.do(Command.UPDATE, settings="2")
    node.sites.fail("reshape 1")
    with pytest.raises(Refused, match="was given other commands since"):
        node.jobs.restart(VAULT, failed.id)
    assert node.item().settings == "2"


def test_a_job_that_failed_is_not_restarted_after_another_command(begin: Start) -> None:
    node = protected(begin())
    node.sites.fail("start failover", "refused", "no memory")
    failed = node.do(Command.FAIL_OVER)
    node.do(Command.CANCEL)
    with pytest.raises(Refused, match="was given other commands since"):
        node.jobs.restart(VAULT, failed.id)


def test_what_an_item_does_not_allow_is_refused_and_leaves_no_job(begin: Start) -> None:
    node = begin()
    with pytest.raises(Refused, match="protection is unprotected: no failover now"):
        node.jobs.submit(VAULT, ITEM, Command.FAIL_OVER)
    assert node.jobs.list(VAULT) == ()


def test_a_person_is_asked_and_meanwhile_the_item_is_taken(begin: Start) -> None:
    def asking(run: Run) -> Ending:
        answer = run.ask("ask", "May it start?")
        return Ending(Fact.TEST_STARTED, point=answer)

    node = protected(begin({Command.TEST_FAIL_OVER: asking}))
    job = node.do(Command.TEST_FAIL_OVER)
    assert (job.state, job.question) == (JobState.WAITING, "May it start?")
    with pytest.raises(Exists, match="a job that has not ended"):
        node.jobs.submit(VAULT, ITEM, Command.FAIL_OVER)
    assert node.item().protection is Protection.PROTECTED
    job = node.ended(node.jobs.resume(VAULT, job.id, "at once"))
    assert job.state is JobState.SUCCEEDED
    assert (node.item().test, node.item().point) == (TestFailover.RUNNING, "at once")


@pytest.mark.slow
def test_a_job_that_has_nothing_to_do_lets_its_thread_go_and_comes_back(begin: Start) -> None:
    looks: list[int] = []

    def waiting(run: Run) -> Ending:
        run.until("wait", lambda _order: looks.append(1) or len(looks) == 3, 0.05)
        return Ending(Fact.TEST_STARTED)

    job = protected(begin({Command.TEST_FAIL_OVER: waiting})).do(Command.TEST_FAIL_OVER)
    assert (job.state, job.attempt, len(looks)) == (JobState.SUCCEEDED, 3, 3)


@pytest.mark.slow
def test_what_is_under_way_outside_holds_no_thread_and_goes_on_at_the_news(begin: Start) -> None:
    asked: list[str] = []

    def waiting(run: Run) -> Ending:
        def act(order: Order) -> str:
            asked.append(order.token)
            if len(asked) == 1:
                raise Underway("not yet")
            return "web-2"

        return Ending(Fact.TEST_STARTED, point=str(run.step("start it", act)))

    node = protected(begin({Command.TEST_FAIL_OVER: waiting}))
    job = node.jobs.submit(VAULT, ITEM, Command.TEST_FAIL_OVER)
    wait_until(lambda: parked(node, job), 10, "the job to have nothing to do")
    node.jobs.hear(News(order=f"{job.id}.00"))
    job = node.ended(job)
    assert (job.state, len(set(asked)), node.item().point) == (JobState.SUCCEEDED, 1, "web-2")


def test_news_that_comes_while_a_job_looks_makes_it_look_again(begin: Start) -> None:
    looks: list[int] = []

    def waiting(run: Run) -> Ending:
        def look(_order: Order) -> bool:
            looks.append(1)
            if len(looks) == 1:
                node.jobs.tell(VAULT, ITEM)
            return len(looks) == 2

        run.until("wait", look)
        return Ending(Fact.TEST_STARTED)

    node = protected(begin({Command.TEST_FAIL_OVER: waiting}))
    assert node.do(Command.TEST_FAIL_OVER).state is JobState.SUCCEEDED


def test_news_of_what_nobody_waits_for_is_let_be(begin: Start) -> None:
    node = protected(begin())
    node.jobs.tell(VAULT, ITEM)
    node.jobs.hear(News(order="nobody.00"))
    assert all(job.is_ended for job in node.jobs.list(VAULT))


@pytest.mark.slow
def test_a_job_that_waits_for_news_is_cancelled_at_once_and_none_of_its_tasks_runs_on(begin: Start) -> None:
    def waiting(run: Run) -> Ending:
        run.until("wait for ever", lambda _order: False)
        return Ending(Fact.TEST_STARTED)

    node = protected(begin({Command.TEST_FAIL_OVER: waiting}))
    job = node.jobs.submit(VAULT, ITEM, Command.TEST_FAIL_OVER)
    wait_until(lambda: parked(node, job), 10, "the job to have nothing to do")
    node.jobs.cancel(VAULT, job.id)
    job = node.ended(job)
    assert (job.state, [task.state for task in job.tasks]) == (JobState.CANCELLED, [TaskState.CANCELLED])


def parked(node: Node, job: Job) -> bool:
    found = node.jobs.get(VAULT, job.id)
    return found.state is JobState.QUEUED and found.attempt > 1


def test_a_mistake_in_a_workflow_is_its_jobs_failure(begin: Start) -> None:
    def broken(run: Run) -> Ending:
        raise ZeroDivisionError("by zero")

    job = protected(begin({Command.TEST_FAIL_OVER: broken})).do(Command.TEST_FAIL_OVER)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert (job.failure.code, job.failure.message) == ("bug", "ZeroDivisionError: by zero")


def test_jobs_that_ended_long_ago_are_forgotten_and_others_are_not(begin: Start) -> None:
    node = protected(begin())
    assert node.jobs.purge(keep_seconds=3600) == 0
    assert node.jobs.purge(keep_seconds=-1) == 2
    assert node.jobs.list(VAULT) == ()


def test_a_catalog_in_a_file_has_one_process(begin: Start, tmp_path: Path) -> None:
    begin()
    other = SqlCatalog(str(tmp_path / "c.db"))
    with pytest.raises(Refused, match="another process runs the vaults in"):
        other.nodes().join("second")
    other.close()


def test_who_was_taken_for_dead_can_order_nothing_any_more(tmp_path: Path) -> None:
    sites = FakeSites(tmp_path / "w.db")
    sites.relate(Order(VAULT, ITEM, 1, 2, "a"))
    with pytest.raises(Fenced):
        sites.unrelate(Order(VAULT, ITEM, 1, 1, "b"))
    assert sites.effects(ITEM) == ["relate"]


def test_an_export_tells_each_task_and_starts_no_formula(begin: Start) -> None:
    node = begin()
    node.sites.fail("check", "refused", "no room")
    job = node.jobs.submit(VAULT, ITEM, Command.ENABLE, by="=cmd()")
    job = node.ended(job)
    [line] = csv.DictReader(io.StringIO(to_csv([job])))
    assert (line["task"], line["task_state"]) == ("check the source", TaskState.FAILED)
    assert (line["by"], line["message"]) == ("'=cmd()", "web: no room")
    assert json.loads(to_json([job]))[0]["failure"]["message"] == "web: no room"


def test_a_catalog_that_does_not_answer_for_a_while_fails_no_job(begin: Start) -> None:
    def restarting(run: Run) -> Ending:
        def act(_order: Order) -> str:
            taken = node.catalog._take_turn

            def refuse(connection: sa.Connection) -> None:
                node.catalog._take_turn = taken
                raise sa.exc.OperationalError("BEGIN", {}, Exception("the server is starting up"))

            node.catalog._take_turn = refuse
            return "web/1"

        return Ending(Fact.TEST_STARTED, point=str(run.step("start it", act)))

    node = protected(begin({Command.TEST_FAIL_OVER: restarting}))
    assert node.do(Command.TEST_FAIL_OVER).state is JobState.SUCCEEDED
    assert node.item().point == "web/1"


@pytest.mark.slow
def test_a_job_whose_entry_is_lost_is_enqueued_again_at_the_next_start(tmp_path: Path) -> None:
    def waits(run: Run) -> Ending:
        run.until("wait", lambda _order: (tmp_path / "go").exists(), every_seconds=3600)
        return Ending(Fact.TEST_STARTED)

    def begun() -> Node:
        sites = FakeSites(tmp_path / "w.db")
        return start(SqlCatalog(str(tmp_path / "c.db")), sites, {Command.TEST_FAIL_OVER: waits})

    node = protected(begun())
    try:
        job = node.jobs.submit(VAULT, ITEM, Command.TEST_FAIL_OVER)
        wait_until(lambda: parked(node, job), 10, "the job to have nothing to do")
        node.queue.forget((node.jobs.get(VAULT, job.id),))
    finally:
        node.stop()
    (tmp_path / "go").touch()
    node = begun()
    try:
        assert node.ended(job).state is JobState.SUCCEEDED
    finally:
        node.stop()
