"""An item's life between real servers and hosts that registered, all of which may be killed on the way."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bascule.drivers.sites.fake import FakeSites
from bascule.front.cli.vault.calling import call
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.model.vault.item import Command
from bascule.replication.provider.folder import ProviderFolder
from lab.waiting import wait_until
from tests.control.vaults import LIFE
from tests.front.cli.conftest import Desk

from .dying import Deaths
from .hosting import AWAY, HOME
from .serving import VAULT

ROOT = Path(__file__).parents[4]
_PATIENCE_SECONDS = 120.0
Steps = Sequence[tuple[Command, Mapping[str, str]]]


AT_HOME = {
    *("relate", "resync", "let_go", "shut down", "level", "come home by changes", "come home whole"),
    *("give up", "keep", "relate again", "unrelate", "follow"),
}


def by_side(effects: Sequence[str]) -> dict[str, list[str]]:
    """Sort effects by the side on which they are. Nobody waits for the other side's *let go*, so only there
    an order is promised."""
    return {
        HOME: [one for one in effects if one in AT_HOME],
        AWAY: [one for one in effects if one not in AT_HOME],
    }


def free_addresses(count: int) -> list[str]:
    with ExitStack() as held:
        made = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in made]


@dataclass
class Life:
    """One vault on ``count`` servers, three hosts, one item. ``moments`` are those at which somebody dies."""

    desk: Desk
    postgres: str = ""
    count: int = 1
    of_servers: str = "-"
    of_hosts: str = "-"
    steps: Steps = LIFE
    machine: str = "one#web"
    sides: Mapping[str, str] = field(
        default_factory=lambda: {"source": HOME, "other": HOME, "recovery": AWAY}
    )
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _hosts: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Life:
        self.desk.path("logs").mkdir()
        addresses = free_addresses(self.count)
        told = [word for one in addresses for word in ("--address", one)]
        for number, address in enumerate(addresses):
            place = ("--postgres", self.postgres) if self.postgres else ()
            if number:
                shutil.copytree(self._folder(0) / "pki", self._folder(number) / "pki")
            doors = ("--listen", address, "--api", "127.0.0.1:0", "--local", "127.0.0.1:0")
            words = (self.desk.path("servers.deaths"), self.of_servers, self._folder(number))
            self._start("serving", *words, *doors, *told, *place)
            self._settle(number)
        for name, side in self.sides.items():
            folder = self.desk.path(f"{name}-provider")
            done = self.desk.ok(
                *("provider", "register", self.desk.path("join.key"), "--folder", folder),
                *("--name", name, "--json"),
            )
            self._hosts[name] = done.document["host"]
            with ProviderFolder(folder).run():
                pass
            self._begin_host(name, side, folder)
        self._wait(lambda: len(self.ask("fabrics.servers", vault=VAULT)) == len(self._hosts), "the hosts")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(30)

    def live(self) -> None:
        """Carry the item through its life, whoever dies meanwhile."""
        while True:
            jobs = self._settled()
            waiting = [job for job in jobs if job["state"] == "waiting for a person"]
            for job in waiting:
                self._insist("jobs.act", vault=VAULT, job=job["id"], act="resume", answer="yes")
            told = [job for job in jobs if job["command"] != Command.FINALIZE]
            if not waiting and len(told) == len(self.steps):
                return
            if not waiting:
                self._give(*self.steps[len(told)])

    def ask(self, what: str, **arguments: object) -> Any:
        """Ask whichever server answers."""
        found: list[Any] = []

        def is_answered() -> bool:
            for number in range(self.count):
                try:
                    found.append(call(self._folder(number), what, **arguments))
                except (Unavailable, Missing):
                    continue
                return True
            return False

        self._wait(is_answered, f"an answer to {what}")
        return found[0]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs, the oldest first."""
        found: list[dict[str, Any]] = self.ask("jobs.list", vault=VAULT)
        return found[::-1]

    def deaths(self, whose: str) -> Counter[str]:
        """Return how often somebody died, by the moment."""
        places = Deaths(self.desk.path(f"{whose}.deaths")).places()
        return Counter(place.partition(" ")[0] for place in places)

    @property
    def item(self) -> str:
        return str(self.jobs()[0]["item"])

    def effects(self) -> dict[str, list[str]]:
        """Return what was done on each side, in order."""
        return by_side(FakeSites(self.desk.path("world.db")).effects(self.item))

    def standing(self) -> dict[str, object]:
        return FakeSites(self.desk.path("world.db")).standing(self.item)

    def said(self) -> str:
        """Return the ends of all logs."""
        logs = sorted(self.desk.path("logs").iterdir())
        return "".join(f"\n== {path.name}\n{path.read_text()[-1500:]}" for path in logs)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for as long as somebody still dies: who comes back every few seconds gets little done."""
        while True:
            died = self.deaths("servers").total() + self.deaths("hosts").total()
            try:
                wait_until(condition, _PATIENCE_SECONDS, what)
            except TimeoutError as error:
                if self.deaths("servers").total() + self.deaths("hosts").total() == died:
                    raise TimeoutError(f"{error}{self.said()}") from error
            else:
                return

    def _begin_host(self, _name: str, side: str, folder: Path) -> None:
        died = self.desk.path("hosts.deaths")
        self._start("hosting", folder, self.desk.path("world.db"), side, died, self.of_hosts)

    def _start(self, what: str, *words: str | Path) -> None:
        log = self.desk.path("logs") / f"{what}-{len(self._processes)}"
        command = [sys.executable, "-m", f"tests.apps.vault.kills.{what}", *map(str, words)]
        with log.open("wb") as file:
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
            )

    def _folder(self, number: int) -> Path:
        return self.desk.path(f"srv-{number}")

    def _settle(self, number: int) -> None:
        """Have a vault with a key to it, once the first server runs, and the others up."""

        def is_up() -> bool:
            try:
                call(self._folder(number), "vaults.list")
            except (Unavailable, Missing):
                return False
            return True

        self._wait(is_up, f"server {number}")
        if number:
            return
        self._insist("vaults.create", name=VAULT)
        self._insist("fabrics.create", vault=VAULT, name="paris")
        self._insist(
            "policies.put", vault=VAULT, name="quick", policy={"interval_seconds": 1, "resync_hours": "any"}
        )
        key = self.ask("fabrics.invite", vault=VAULT, fabric="paris", lasts_seconds=600)
        self.desk.path("join.key").write_text(json.dumps(key))

    def _insist(self, what: str, **arguments: object) -> None:
        """Ask until it is done; that it was done already says that only the answer was lost."""
        try:
            self.ask(what, **arguments)
        except (Exists, Refused):
            return

    def _give(self, command: Command, input: Mapping[str, str]) -> None:
        if command is Command.ENABLE:
            route = {
                "source": self._hosts["source"],
                "machine": self.machine,
                "recovery": self._hosts["recovery"],
            }
            self._insist("items.enable", vault=VAULT, name="web", **route, **self._place(), policy="quick")
            return
        given = {**input}
        if "point" in given:
            given["point"] = f"{self.item}/{given['point'].rpartition('/')[2]}"
        if "host" in given:
            given["host"] = self._hosts[given["host"]]
        self._insist("items.command", vault=VAULT, item=self.item, command=command, input=given)

    def _place(self) -> dict[str, str]:
        return {"store": "points", "key_file": "main.key"}

    def _settled(self) -> list[dict[str, Any]]:
        """Wait until no job goes on but one that waits for a person, and return all."""
        found: list[list[dict[str, Any]]] = [[]]

        def is_settled() -> bool:
            found[0] = self.jobs()
            return all(job["state"] not in ("queued", "running") for job in found[0])

        self._wait(is_settled, "the end of jobs")
        failed = [job for job in found[0] if job["state"] not in ("succeeded", "waiting for a person")]
        assert not failed, failed
        return found[0]
