from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.fake.agent import FakeAgent, FakeGuest
from bascule.model.consent.applications import APPLICATIONS
from bascule.model.errors import Unavailable
from bascule.model.policies import Consistency
from bascule.replication.quiesce import Around, Quiesce

from .provider.scenes import HandClock


class Operator:
    """Commands that note when they were run, and fail when they are told to."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.failing: set[str] = set()

    def run(self, words: Sequence[str], facts: Mapping[str, str], seconds: float) -> None:
        assert (facts["BASCULE_GROUP"], facts["BASCULE_PHASE"]) == ("shop", words[0])
        frozen = sum(guest.frozen_at is not None for guest in self.scene.guests.values())
        self.scene.told.append(f"{words[0]} {facts['BASCULE_MACHINES']}, {frozen} frozen")
        if words[0] in self.failing:
            raise Unavailable(f"{words[0]} fails")


class Scene:
    """A group of two machines with agents in their guests."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.clock = HandClock()
        self.told: list[str] = []
        self.guests = {"web": FakeGuest(), "db": FakeGuest()}
        self.operator = Operator(self)

    def quiesce(
        self, before: tuple[str, ...] = (), after: tuple[str, ...] = (), applications: tuple[str, ...] = ()
    ) -> Quiesce:
        around = Around("shop", self.room / "owed", self.operator, before, after, applications)
        agents = {name: FakeAgent(guest, self.clock) for name, guest in self.guests.items()}
        return Quiesce(around, agents)

    def point(self, quiesce: Quiesce, seconds: float = 0.0) -> Consistency:
        with quiesce.around(["web", "db"]) as consistency:
            frozen = [name for name, guest in self.guests.items() if guest.frozen_at is not None]
            self.told.append(f"instant {' '.join(frozen)}".strip())
            self.clock.sleep(seconds)
        assert not any(guest.frozen_at for guest in self.guests.values())
        return consistency()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_instant_of_frozen_guests_is_consistent_for_their_file_systems(scene: Scene) -> None:
    """R-RP-1."""
    quiesce = scene.quiesce()
    assert scene.point(quiesce) is Consistency.FILE_SYSTEM
    assert (scene.told, quiesce.complaint) == (["instant web db"], "")


def test_commands_run_around_the_freeze_and_make_a_point_consistent_for_applications(scene: Scene) -> None:
    assert scene.point(scene.quiesce(("before",), ("after",))) is Consistency.APPLICATION
    assert scene.told == ["before web db, 0 frozen", "instant web db", "after web db, 0 frozen"]
    assert list(scene.room.iterdir()) == []


def test_applications_are_made_ready_in_their_guests_and_make_a_point_consistent_for_them(
    scene: Scene,
) -> None:
    """R-RP-1: in the guests that have them, before the freeze and after the thaw."""
    quiesce = scene.quiesce(applications=("db=mysql",))
    assert scene.point(quiesce) is Consistency.APPLICATION
    mysql = APPLICATIONS["mysql"]
    assert (scene.guests["web"].ran, scene.guests["db"].ran) == ([], [mysql.before, mysql.after])
    assert scene.point(scene.quiesce(applications=("postgresql",))) is Consistency.APPLICATION
    assert scene.guests["web"].ran == [APPLICATIONS["postgresql"].before]


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_application_that_does_not_consent_leaves_a_point_of_file_systems_at_rest(
    scene: Scene, phase: str
) -> None:
    mysql = APPLICATIONS["mysql"]
    scene.guests["db"].refuses = mysql.before if phase == "before" else mysql.after
    quiesce = scene.quiesce(applications=("db=mysql",))
    assert scene.point(quiesce) is Consistency.FILE_SYSTEM
    assert quiesce.complaint == "db: a script in the guest ended with 1"
    assert scene.guests["db"].ran == [mysql.before, mysql.after], "what was taken is given back"


def test_without_agents_the_word_of_the_command_before_counts(scene: Scene) -> None:
    quiesce = Quiesce(Around("shop", scene.room / "owed", scene.operator, ("before",)), {})
    assert scene.point(quiesce) is Consistency.APPLICATION


def test_a_command_before_that_fails_costs_the_consistency_and_not_the_point(scene: Scene) -> None:
    scene.operator.failing = {"before"}
    quiesce = scene.quiesce(("before",), ("after",))
    assert scene.point(quiesce) is Consistency.CRASH
    assert scene.told[1:] == ["instant", "after web db, 0 frozen"], "nothing is frozen for nothing"
    assert quiesce.complaint == "before: before fails"


def test_a_command_after_that_fails_is_told_and_takes_nothing_from_the_point(scene: Scene) -> None:
    scene.operator.failing = {"after"}
    quiesce = scene.quiesce(("before",), ("after",))
    assert scene.point(quiesce) is Consistency.APPLICATION
    assert quiesce.complaint == "after: after fails"


@pytest.mark.parametrize("silent", ["web", "db"])
def test_one_guest_that_does_not_answer_makes_the_point_of_all_crash_consistent(
    scene: Scene, silent: str
) -> None:
    scene.guests[silent].is_silent = True
    quiesce = scene.quiesce()
    assert scene.point(quiesce) is Consistency.CRASH
    assert quiesce.complaint.startswith(f"{silent}: the guest agent does not answer")


def test_a_guest_without_a_file_system_to_freeze_vouches_for_nothing(scene: Scene) -> None:
    scene.guests["db"].file_systems = 0
    assert scene.point(scene.quiesce()) is Consistency.CRASH


def test_an_instant_that_took_longer_than_guests_stand_still_is_crash_consistent(scene: Scene) -> None:
    """R-R-8: the watch thawed them, so nobody knows what the last disk saw."""
    quiesce = scene.quiesce()
    assert scene.point(quiesce, seconds=11.0) is Consistency.CRASH
    assert "thawed before the instant was over" in quiesce.complaint


def test_a_guest_that_somebody_else_thawed_makes_it_crash_consistent(scene: Scene) -> None:
    quiesce = scene.quiesce()
    with quiesce.around(["web", "db"]) as consistency:
        scene.guests["web"].thaw()
    assert consistency() is Consistency.CRASH


def test_a_machine_whose_guest_cannot_be_reached_makes_it_crash_consistent(scene: Scene) -> None:
    quiesce = Quiesce(Around("shop", scene.room / "owed", scene.operator), {"web": None, "db": None})
    assert scene.point(quiesce) is Consistency.CRASH
    assert "channel" in quiesce.complaint


def test_guests_are_thawed_and_the_command_after_is_run_when_the_instant_fails(scene: Scene) -> None:
    quiesce = scene.quiesce(("before",), ("after",))
    with pytest.raises(Unavailable, match="no room"), quiesce.around(["web", "db"]):
        raise Unavailable("no room")
    assert not any(guest.frozen_at for guest in scene.guests.values())
    assert scene.told[-1] == "after web db, 0 frozen"


def test_the_next_owner_thaws_and_runs_the_command_that_a_killed_one_owed(scene: Scene) -> None:
    died = scene.quiesce(("before",), ("after",)).around(["web", "db"])
    died.__enter__()
    scene.quiesce(("before",), ("after",)).settle()
    assert not any(guest.frozen_at for guest in scene.guests.values())
    assert scene.told == ["before web db, 0 frozen", "after web db, 0 frozen"]
    assert list(scene.room.iterdir()) == []
    scene.quiesce(("before",), ("after",)).settle()
    assert len(scene.told) == 2, "once"
