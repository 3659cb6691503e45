"""What every guest agent must do; a driver's tests inherit it and say what guest there is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from bascule.model.errors import Unavailable
from bascule.ports.guests import GuestAgent

FILE_SYSTEMS = 2


class Guest(ABC):
    """A guest with two file systems."""

    @abstractmethod
    def agent(self, limit: float = 30.0) -> GuestAgent:
        """Return its agent, which leaves it frozen for so many seconds at most."""

    @abstractmethod
    def is_frozen(self) -> bool:
        """Look whether the file systems stand still."""

    @abstractmethod
    def thaw(self) -> None:
        """Thaw them, as somebody in the guest may."""

    @abstractmethod
    def fall_silent(self) -> None:
        """Answer nothing any more."""

    @abstractmethod
    def freeze_and_die(self) -> None:
        """Freeze the guest as one who is killed then."""

    @abstractmethod
    def kill_both(self, agent: GuestAgent) -> None:
        """Let happen what happens when who holds the agent dies together with its watch."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Let time pass until the guest is thawed, so many seconds at most."""


class GuestContract:
    """R-RP-1, R-R-8. Inherit, and provide the fixture ``guest``."""

    def test_who_freezes_and_thaws_knows_of_how_many_file_systems(self, guest: Guest) -> None:
        agent = guest.agent()
        for _ in range(2):
            assert agent.freeze() == FILE_SYSTEMS
            assert agent.is_frozen()
            assert guest.is_frozen()
            assert agent.thaw() == FILE_SYSTEMS
            assert not guest.is_frozen()
        agent.close()
        agent.close()

    def test_who_is_thawed_by_somebody_else_hears_that_it_did_not_stand_still(self, guest: Guest) -> None:
        agent = guest.agent()
        agent.freeze()
        guest.thaw()
        assert agent.thaw() == 0
        agent.close()

    def test_a_guest_is_thawed_when_the_time_is_over(self, guest: Guest) -> None:
        agent = guest.agent(limit=1.0)
        agent.freeze()
        guest.pass_time(30)
        assert agent.thaw() == 0, "our own thaw came too late to vouch for anything"
        assert not guest.is_frozen()
        agent.close()

    def test_a_guest_is_thawed_when_its_owner_dies(self, guest: Guest) -> None:
        guest.freeze_and_die()
        guest.pass_time(20)
        assert not guest.is_frozen()

    def test_the_next_owner_thaws_what_a_dead_one_and_its_watch_left(self, guest: Guest) -> None:
        agent = guest.agent()
        agent.freeze()
        guest.kill_both(agent)
        assert guest.is_frozen()
        after = guest.agent()
        after.settle()
        assert not guest.is_frozen()
        after.settle()
        assert after.freeze() == FILE_SYSTEMS
        assert after.thaw() == FILE_SYSTEMS
        after.close()

    def test_letting_go_of_a_guest_thaws_it(self, guest: Guest) -> None:
        agent = guest.agent()
        agent.freeze()
        agent.close()
        guest.pass_time(20)
        assert not guest.is_frozen()

    def test_a_guest_that_does_not_answer_is_unavailable(self, guest: Guest) -> None:
        guest.fall_silent()
        agent = guest.agent(limit=1.0)
        with pytest.raises(Unavailable) as caught:
            agent.freeze()
        assert caught.value.message
        agent.close()
