"""A vault's door and a provider as processes of their own: joined, commanded, killed, revoked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.waiting import wait_until

from .conftest import Office

pytestmark = pytest.mark.lab  # real processes, many seconds


@dataclass
class Estate:
    """A vault and a host."""

    office: Office
    door: subprocess.Popen[str] | None = None
    address: str = "127.0.0.1:0"

    @property
    def vault(self) -> str:
        return str(self.office.desk.path("vault"))

    def open(self) -> None:
        self.door = self.office.desk.start("door", "run", self.vault, "--listen", self.address, "--json")
        assert self.door.stdout is not None
        self.address = json.loads(self.door.stdout.readline())["address"]

    def kill(self) -> None:
        if self.door is not None:
            self.door.kill()
            self.door.communicate()

    def say(self, *words: str) -> Any:
        return self.office.desk.ok("door", words[0], self.vault, *words[1:], "--json").document

    def key(self, name: str, *words: str) -> str:
        file = str(self.office.desk.path(name))
        self.say("key", "--address", self.address, "--out", file, *words)
        return file

    def join(self, file: str) -> str:
        words = ("provider", "register", file, "--folder", self.office.folder, "--json")
        return str(self.office.desk.ok(*words).document["host"])

    def status(self) -> Any:
        return self.office.desk.ok("provider", "status", "--folder", self.office.folder, "--json").document

    def is_quiet(self) -> bool:
        return all(order["result"] for order in self.say("orders")["orders"])


@pytest.fixture
def estate(office: Office) -> Iterator[Estate]:
    made = Estate(office)
    made.open()
    yield made
    made.kill()


def test_a_host_joins_is_commanded_and_shows_how_it_stands(estate: Estate) -> None:
    office = estate.office
    assert estate.status()["vault"] is None
    host = estate.join(estate.key("join.key"))
    office.start()
    arguments = {
        "machines": ["fake:a"],
        "store": office.desk.store,
        "key_file": str(office.desk.path("main.key")),
    }
    estate.say("order", host, "protect", "web", "--arguments", json.dumps(arguments))
    wait_until(lambda: estate.say("hosts")["hosts"][0]["groups"].get("web", {}).get("state") == "replicating")
    estate.say("order", host, "pause", "web")
    wait_until(lambda: office.group()["state"] == "paused")
    wait_until(estate.is_quiet)
    estate.say("order", host, "pause", "nowhere")
    wait_until(estate.is_quiet)
    assert estate.say("orders", host)["orders"][-1]["result"]["code"] == "not-protected"
    found = estate.status()
    assert (found["host"], found["is_certificate_expired"], found["contact"]["code"]) == (host, False, "")
    assert found["contact"]["at"] is not None
    text = office.desk.ok("provider", "status", "--folder", office.folder).out
    assert "renews itself from" in text
    estate.say("revoke", host)
    assert office.desk.run("door", "order", estate.vault, host, "resume", "web").code == 2
    deeds = [(deed["what"], deed["subject"]) for deed in estate.say("audit")["deeds"]]
    assert deeds[1] == ("register", host)
    assert deeds[-1] == ("revoke", host)


def test_killed_again_and_again_both_sides_lose_and_repeat_no_command(estate: Estate) -> None:
    office = estate.office
    office.protect("fake:a", "web")
    host = estate.join(estate.key("join.key"))
    for round_ in range(2):
        office.start()
        for _ in range(3):
            estate.say("order", host, "resync", "web")
        office.kill()
        estate.kill()
        estate.open()
        assert len(estate.say("orders")["orders"]) == 3 * (round_ + 1)
    office.start()
    wait_until(estate.is_quiet)
    wish = json.loads((office.folder / "machines" / "web" / "wish.json").read_text())
    assert (wish["resync"], wish["generation"]) == (6, 7)


def test_a_key_is_written_once_and_one_host_has_one_vault(estate: Estate) -> None:
    desk, folder = estate.office.desk, estate.office.folder
    file = estate.key("join.key")
    assert desk.path("join.key").stat().st_mode & 0o777 == 0o600
    again = desk.run("door", "key", estate.vault, "--address", estate.address, "--out", file)
    assert (again.code, "is there already" in again.err) == (2, True)
    host = estate.join(file)
    assert desk.run("provider", "register", file, "--folder", folder).code == 2, "once for each host"
    other = desk.path("other.key")
    words = ("door", "key", desk.path("other"), "--address", estate.address, "--out", other)
    desk.ok(*words)
    assert "--replace" in desk.run("provider", "register", other, "--folder", folder).err
    assert desk.run("provider", "register", desk.path("none"), "--folder", folder).code == 2
    assert desk.run("provider", "register", desk.path("main.key"), "--folder", folder).code == 2
    estate.say("revoke", host)
    assert desk.run("provider", "register", estate.key("second.key"), "--folder", folder).code == 2
    assert estate.join(estate.key("third.key", "--host", host)) == host
    assert len(estate.say("hosts")["hosts"]) == 1
