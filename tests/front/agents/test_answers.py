"""What the door answers is told to the rest of the vault too, where somebody may wait for it."""

from __future__ import annotations

from pathlib import Path

from bascule.front.agents.answers import Answers
from bascule.model.vault.commands import Json, Report
from bascule.ports.vault.news import News
from bascule.ports.vault.pki import Certificate
from bascule.wire.control.messages import written

from .scenes import House


def test_all_that_is_new_of_a_group_is_told_also_that_it_is_gone(tmp_path: Path) -> None:
    """A provider that was restarted says everything, and nothing of groups that went before."""
    told: list[News] = []
    with House(tmp_path / "vault").open() as house:
        host, behind = house.join(tmp_path / "host").host, house.behind
        guest = Certificate("", behind.authority.vault, host, "s", "k", 0.0, 0.0)
        answers = Answers(behind.authority, behind.hosts, behind.audit, house.clock, told.append)
        said: dict[str, Json] = {"state": "replicating", "safe_as_of": 1}
        answers.report(written(Report(host, 1, 0, {"web~2": said, "db": said})), guest)
        assert told == [News(group="web"), News(group="db")]
        answers.report(written(Report(host, 2, 1, {"db": {"safe_as_of": 2}})), guest)
        answers.report(written(Report(host, 1, 0, {"db": said})), guest)
        assert told[2:] == [News(group="db"), News(group="web")]
        answers.report(written(Report(host, 2, 1, {}, ("db",))), guest)
        assert told[4:] == [News(group="db")]
