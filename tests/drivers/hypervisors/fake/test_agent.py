from __future__ import annotations

import pytest

from bascule.drivers.hypervisors.fake.agent import FakeAgent, FakeGuest
from bascule.ports.guests import GuestAgent
from tests.contracts.guests import Guest, GuestContract
from tests.replication.provider.scenes import HandClock


class Fake(Guest):
    def __init__(self) -> None:
        self.inside = FakeGuest()
        self.clock = HandClock()
        self.held: FakeAgent | None = None

    def agent(self, limit: float = 30.0) -> GuestAgent:
        self.held = FakeAgent(self.inside, self.clock, limit)
        return self.held

    def is_frozen(self) -> bool:
        return self.held is not None and self.held.is_frozen()

    def thaw(self) -> None:
        self.inside.thaw()

    def fall_silent(self) -> None:
        self.inside.is_silent = True

    def freeze_and_die(self) -> None:
        agent = self.agent()
        agent.freeze()
        agent.close()  # as its watch does

    def kill_both(self, agent: GuestAgent) -> None:
        self.held = FakeAgent(self.inside, self.clock)

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)


class TestFakeAgent(GuestContract):
    @pytest.fixture
    def guest(self) -> Guest:
        return Fake()
