"""Commands of a vault become wishes, and some do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bascule.model.items import Wish
from bascule.model.policies import Policy
from bascule.model.vault.commands import Command, Json
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.uplink.obeying import obey

PROTECT: dict[str, Json] = {"machines": ["fake:a"], "store": "/store", "key_file": "/key"}


@pytest.fixture
def folder(tmp_path: Path) -> ProviderFolder:
    return ProviderFolder(tmp_path)


def command(verb: str, number: int = 1, group: str = "web", **arguments: Json) -> Command:
    return Command(number, f"c{number}", verb, group, arguments)


def test_a_group_is_protected_changed_and_let_go_of(folder: ProviderFolder) -> None:
    policy: Json = {"interval_seconds": 5, "rpo_threshold_seconds": 60}
    obey(folder, command("protect", 1, **PROTECT, policy=policy, exclude=["disk1"], include=["disk0"]))
    found = folder.item("web").wish()
    assert found == Wish(
        "web",
        ("fake:a",),
        "/store",
        "/key",
        Policy(5, rpo_threshold_seconds=60),
        exclude=("disk1",),
        include=("disk0",),
        command="c1",
    )
    for number, (verb, is_paused, resyncs) in enumerate(
        [("pause", True, 0), ("resync", True, 1), ("resume", False, 1)], 2
    ):
        assert obey(folder, command(verb, number)).generation == number
        found = folder.item("web").wish()
        assert found is not None
        assert (found.is_paused, found.resync) == (is_paused, resyncs)
    assert obey(folder, command("unprotect", 5)).is_done
    assert obey(folder, command("unprotect", 5)).is_done
    assert folder.items() == []


def test_a_command_that_is_heard_twice_changes_once(folder: ProviderFolder) -> None:
    obey(folder, command("protect", **PROTECT))
    once = obey(folder, command("resync", 2))
    assert obey(folder, command("resync", 2)) == once
    folder.item("web").change(lambda wish: wish)
    assert obey(folder, command("resync", 2)).is_done
    found = folder.item("web").wish()
    assert found is not None
    assert found.resync == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (command("format"), "unknown-command"),
        (command("pause"), "not-protected"),
        (command("pause", group="../web"), "refused"),
        (command("protect"), "malformed"),
        (command("protect", machines=["fake:a"]), "malformed"),
        (command("protect", machines="fake:a", store="/s", key_file="/k"), "malformed"),
        (command("protect", **PROTECT, policy={"interval_seconds": 7}), "refused"),
        (command("protect", **PROTECT, policy={"agent": "/run/any.socket"}), "malformed"),
    ],
)
def test_what_is_not_right_is_refused_and_changes_nothing(
    folder: ProviderFolder, given: Command, code: str
) -> None:
    result = obey(folder, given)
    assert (result.is_done, result.code, result.sequence) == (False, code, 1)
    assert folder.items() == []


def test_a_policy_changes_what_it_names_of_the_newest_generation_and_nothing_else(
    folder: ProviderFolder,
) -> None:
    """R-P-5."""
    own: Json = {"retention": "1h:all", "agent": "off"}
    obey(folder, command("protect", 1, "web~2", **PROTECT, policy=own, exclude=["disk1"]))
    before = folder.item("web~2").wish()
    asked = command("follow-policy", 3, policy={"interval_seconds": 300, "app_consistent_seconds": 3600})
    assert obey(folder, asked).is_done
    assert obey(folder, asked).is_done, "heard twice it is done once"
    assert before is not None
    changed = Policy(300, "1h:all", app_consistent_seconds=3600, agent="off")
    after = replace(before, generation=before.generation + 1, command="c3", policy=changed)
    assert folder.item("web~2").wish() == after
    result = obey(folder, command("follow-policy", 4, policy={"interval_seconds": 7}))
    assert (result.is_done, folder.item("web~2").wish()) == (False, after)
    assert obey(folder, command("follow-policy", 5, "db", policy={})).code == "not-protected"


def test_a_vault_cannot_have_commands_run_on_a_host(folder: ProviderFolder) -> None:
    policy: Json = {"before": ["rm", "-rf", "/"], "after": ["reboot"], "agent": "off"}
    obey(folder, command("protect", **PROTECT, policy=policy))
    found = folder.item("web").wish()
    assert found is not None
    assert (found.policy.before, found.policy.after) == ((), ())
    own = Policy(before=("hold",), agent="/own.socket")
    folder.item("web").change(lambda _: Wish("web", ("fake:a",), "/store", policy=own))
    obey(folder, command("protect", 2, **PROTECT, policy={"before": ["reboot"]}))
    found = folder.item("web").wish()
    assert found is not None
    assert (found.policy.before, found.policy.agent) == (("hold",), "/own.socket")


def test_a_group_is_meant_in_the_generation_that_is_here_and_let_go_of_with_all(
    folder: ProviderFolder,
) -> None:
    for number, group in enumerate(("web", "web~2", "webcam"), 1):
        obey(folder, command("protect", number, group, **PROTECT))
    obey(folder, command("pause", 4))
    obey(folder, command("unprotect", 5))
    assert [item.group for item in folder.items()] == ["webcam"]
    obey(folder, command("protect", 6, "web~3", **PROTECT))
    obey(folder, command("pause", 7))
    found = folder.item("web~3").wish()
    assert found is not None
    assert found.is_paused
