from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.agent.agent import agent_at
from bascule.drivers.hypervisors.qemu.agent.channel import Channel
from bascule.drivers.hypervisors.watched import WatchedAgent
from bascule.model.errors import Off, Unavailable
from bascule.ports.guests import GuestAgent
from lab.waiting import wait_until
from tests.contracts.guests import FILE_SYSTEMS, Guest, GuestContract

from .answering import Answering

OWNER = """
import sys, time
from pathlib import Path
from bascule.drivers.hypervisors.qemu.agent.agent import agent_at
agent = agent_at(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
print(agent.freeze(), agent.watched_by, flush=True)
sys.stdin.read()
"""


def freeze_as_another(socket: Path, folder: Path, limit: float) -> tuple[subprocess.Popen[str], int]:
    """Let a process of its own freeze a guest; return it, and the watch's number."""
    words = [sys.executable, "-c", OWNER, str(socket), str(folder), str(limit)]
    owner = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    frozen, watch = owner.stdout.readline().split()
    assert int(frozen) == FILE_SYSTEMS
    return owner, int(watch)


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


class Watched(Guest):
    """Real watches over an agent that this process plays."""

    def __init__(self, room: Path) -> None:
        self.socket, self.folder = room / "agent", room / "own"
        self.inside = Answering(self.socket)
        self.made: list[WatchedAgent] = []

    def agent(self, limit: float = 30.0) -> WatchedAgent:
        self.made.append(agent_at(self.socket, self.folder, limit))
        return self.made[-1]

    def is_frozen(self) -> bool:
        return self.inside.frozen > 0

    def thaw(self) -> None:
        self.inside.frozen = 0

    def fall_silent(self) -> None:
        self.inside.is_silent = True

    def freeze_and_die(self) -> None:
        owner, _ = freeze_as_another(self.socket, self.folder, 300)
        assert self.is_frozen()
        kill(owner)

    def kill_both(self, agent: GuestAgent) -> None:
        assert isinstance(agent, WatchedAgent)
        assert agent.watched_by is not None
        os.kill(agent.watched_by, signal.SIGKILL)
        self.made.remove(agent)
        agent.close()

    def pass_time(self, seconds: float) -> None:
        wait_until(lambda: not self.is_frozen(), seconds)

    def close(self) -> None:
        for agent in self.made:
            agent.close()
        self.inside.close()


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


class TestQemuAgent(GuestContract):
    """The contract, with real watches."""


def ended(code: int, said: bytes = b"") -> Callable[[dict[str, object]], bytes]:
    """Answer that a script has ended."""

    def answer(asked: dict[str, object]) -> bytes:
        found = {"exited": True, "exitcode": code, "out-data": base64.b64encode(said).decode()}
        return json.dumps({"return": found, "id": asked["id"]}).encode() + b"\n"

    return answer


def began(asked: dict[str, object]) -> bytes:
    return json.dumps({"return": {"pid": 7}, "id": asked["id"]}).encode() + b"\n"


def test_a_script_runs_in_the_guest_before_a_freeze_of_the_same_watch(guest: Watched) -> None:
    """R-RP-1: the channel serves one client, so who freezes runs what comes before."""
    guest.inside.instead = {"guest-exec": began, "guest-exec-status": ended(0)}
    agent = guest.agent()
    agent.run("echo ready", 5)
    watch = agent.watched_by
    assert agent.freeze() == FILE_SYSTEMS
    assert agent.watched_by == watch
    assert agent.thaw() == FILE_SYSTEMS


def test_a_script_that_fails_in_the_guest_says_what_it_said(guest: Watched) -> None:
    guest.inside.instead = {"guest-exec": began, "guest-exec-status": ended(3, b"no such database\n")}
    agent = guest.agent()
    with pytest.raises(Unavailable, match="ended with 3: no such database"):
        agent.run("false", 5)
    assert agent.freeze() == FILE_SYSTEMS, "which says nothing about the guest's file systems"
    agent.thaw()


@pytest.mark.parametrize("said", [b'{"return": {"pid": "7"}}\n', b'{"return": 7}\n', b"[]\n"])
def test_a_guest_that_answers_oddly_about_a_script_is_unavailable(guest: Watched, said: bytes) -> None:
    guest.inside.instead = {"guest-exec": lambda _: said}
    with pytest.raises(Unavailable):
        guest.agent().run("true", 5)


def test_nobody_at_the_socket_means_that_nothing_was_frozen(tmp_path: Path) -> None:
    agent = agent_at(tmp_path / "absent", tmp_path / "own")
    with pytest.raises(Unavailable, match="no guest agent's channel"):
        agent.freeze()
    agent.close()
    assert not (tmp_path / "own" / "frozen").exists()


def test_a_watch_that_dies_while_its_owner_lives_is_replaced_by_one_that_thaws(guest: Watched) -> None:
    """R-R-8: and the point does not count as consistent, for nobody knows since when it was thawed."""
    agent = guest.agent()
    agent.freeze()
    assert agent.watched_by is not None
    os.kill(agent.watched_by, signal.SIGKILL)
    assert agent.thaw() == 0
    assert not guest.is_frozen()


def test_a_guest_that_freezes_too_late_does_not_stay_frozen(guest: Watched) -> None:
    late: list[bytes] = []

    def freeze_later(asked: dict[str, object]) -> bytes:
        guest.inside.frozen = 2
        late.append(json.dumps({"return": 2, "id": asked["id"]}).encode() + b"\n")
        return b""

    def thaw(asked: dict[str, object]) -> bytes:
        was, guest.inside.frozen = guest.inside.frozen, 0
        return late.pop() + json.dumps({"return": was, "id": asked["id"]}).encode() + b"\n"

    guest.inside.instead = {"guest-fsfreeze-freeze": freeze_later, "guest-fsfreeze-thaw": thaw}
    agent = guest.agent(limit=0.5)
    with pytest.raises(Unavailable, match="in time"):
        agent.freeze()
    guest.pass_time(20)
    wait_until(lambda: not (guest.folder / "frozen").exists())


def test_what_an_earlier_client_left_in_the_channel_is_passed_over(guest: Watched) -> None:
    left = b'{"return": {"buf-b64": "' + b"A" * 300_000 + b'"}}\n\xff{"return": 7}\n\xff\xff{]\n'

    def answer(asked: dict[str, object]) -> bytes:
        words = asked["arguments"]
        assert isinstance(words, dict)
        return left + b"\xff" + json.dumps({"return": words["id"]}).encode() + b"\n"

    guest.inside.instead = {"guest-sync-delimited": answer}
    agent = guest.agent()
    assert agent.freeze() == FILE_SYSTEMS
    assert agent.thaw() == FILE_SYSTEMS


@pytest.mark.parametrize(
    "said",
    [
        b'{"return": 2, "id": 77}\n',
        b'{"return": true}\n',
        b'{"return": -1}\n',
        b'{"return": "two"}\n',
        b'{"return": 1e400}\n',
        b"[" * 50_000 + b"\n",
        b"\xff\xfe\x00\n",
        b"null\n",
        b'{"error": {"class": "GenericError", "desc": "no"}}\n',
        b'{"error": 5}\n',
        b"x" * 200_000,
    ],
    ids=lambda said: said[:12].decode("latin-1"),
)
def test_whatever_a_hostile_guest_answers_is_unavailable(guest: Watched, said: bytes) -> None:
    """It gets no point that counts as consistent, no memory and no time of ours; and it is thawed."""
    guest.inside.instead = {"guest-fsfreeze-freeze": lambda _: said}
    agent = guest.agent()
    with pytest.raises(Unavailable):
        agent.freeze()
    wait_until(lambda: "guest-fsfreeze-thaw" in guest.inside.heard)
    wait_until(lambda: not (guest.folder / "frozen").exists())


def test_a_guest_that_never_ends_its_answer_costs_the_time_limit_and_no_more(guest: Watched) -> None:
    guest.inside.instead = {"guest-sync-delimited": lambda _: b"x" * 100_000}
    channel = Channel.connect(guest.socket)
    with pytest.raises(Unavailable, match="does not answer"):
        channel.sync(0.5)
    channel.close()


def test_a_channel_that_closes_is_a_machine_that_is_gone(guest: Watched) -> None:
    channel = Channel.connect(guest.socket)
    channel.sync()
    guest.inside.hang_up()
    with pytest.raises(Off):
        channel.sync(5)
    channel.close()
