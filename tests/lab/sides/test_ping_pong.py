"""A guest under load goes over and comes home, round after round, and no side ever holds anything else.

One round is what ``make demo`` tells, and tests/lab/test_demo.py sees to that. In every other round here the
machine's power is cut in the place of a hand-over, so what the old disks hold is not what went over.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskReader, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.drivers.objects.local import LocalStore
from bascule.model.machines import written
from bascule.ports.disks import DiskSource
from lab import machines
from lab.machines import Keeping
from lab.sites import Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Stage, Stand
from lab.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(3600)]

PIECE = 1 << 20
POINTS_UNDER_LOAD = 3
LOAD = Keeping(MACHINE, records_a_second=40, writes_a_record=10, slots=512, disk_mib=32)


class Game:
    """Two hosts, a provider on each, and the machine between them; ``log`` is what it is written to."""

    def __init__(self, folder: Path, sites: Sites) -> None:
        self.stage = Stage(folder, sites)
        self.log = MACHINE
        self.hosts = {
            name: QemuHost(folder / name, SystemClock(), SystemIds()) for name in ("first", "second")
        }
        (folder / "shop.json").write_text(written(machines.make(LOAD, folder / "images")))
        first = self.stage.first
        first.run("machine", "define", MACHINE, "--file", "shop.json")
        first.run("machine", "start", MACHINE)
        first.wait_for_console("ledger: acknowledged")
        first.run("key", "create", "main.key")
        first.run("store", "init", "store")
        for side in (first, self.stage.second):
            side.begin("provider", "run", f"{side.name}-provider")

    def replicate(self, side: Stand) -> None:
        """Have points made of the machine on this side, while it writes."""
        take_over = ["--take-over"] if self.log != MACHINE else []
        # The disks are so small that half of one may have changed before a slow machine looks.
        at_once = ["--every", "1s", "--resync-hours", "any"]
        words = ["protect", f"{side.name}#{MACHINE}", "store", "--group", self.log, *at_once]
        side.run(*words, *take_over)
        enough = self.stage.points(self.log) + POINTS_UNDER_LOAD
        wait_until(lambda: self.stage.points(self.log) >= enough, PATIENCE_SECONDS, f"points of {self.log}")

    def over(self, *, planned: bool) -> None:
        """Take the machine over to the second host, and see where it goes on."""
        first, second, left = self.stage.first, self.stage.second, self.log
        if planned:
            self.hand_over(first)
        else:
            first.run("machine", "kill", MACHINE)
        here = self.stage.judge_at_home(at_rest=planned)
        self.log = second.run_json("replica", "fail-over", "store", left)["log"]
        record = second.wait_until_up(MACHINE)
        _, point = self.stage.judge_newest(left)
        assert record == point.last
        assert point.last == here.last if planned else point.last <= here.last
        second.run("replica", "commit", "store", MACHINE)

    def home(self) -> None:
        """Bring it home, and see that it goes on there where it stopped."""
        first, second = self.stage.first, self.stage.second
        first.run("replica", "fail-back", "store", MACHINE)
        last = self.hand_over(second)
        self.log = first.run_json("replica", "fail-back", "store", MACHINE)["log"]
        assert first.wait_until_up(MACHINE) == last
        first.run("replica", "commit", "store", MACHINE)
        second.run("replica", "release", "store", MACHINE)

    def hand_over(self, side: Stand) -> int:
        """Hand the machine over; its disks and the newest point are the same. Return its last record."""
        side.run("replica", "hand-over", "store", MACHINE)
        _, verdict = self.stage.judge_newest(self.log)
        assert verdict.last == side.closed_at()
        assert self.digests_on(side) == self.digests_of_newest()
        return verdict.last

    def digests_on(self, side: Stand) -> dict[str, str]:
        """Return the digests of the disks of the machine, which is off."""
        digests = {}
        for place in self.hosts[side.name].definition(MACHINE).disks:
            words = place.words if place.is_served else f"{place.words}?format={place.format}"
            with closing(open_source(words)) as source:
                digests[place.id] = digest(source, source.size_bytes)
        return digests

    def digests_of_newest(self) -> dict[str, str]:
        with ExitStack() as stack:
            objects = stack.enter_context(closing(LocalStore(self.stage.path("store"))))
            key = KeyFile.read(self.stage.path("main.key"))
            vault = Vault.open(objects, key, ids=SystemIds(), clock=SystemClock())
            point = stack.enter_context(vault.peek(self.log))
            disks = {key.disk: point.disk(key) for key in point.disks()}
            return {name: digest(disk, disk.size_bytes) for name, disk in disks.items()}


def digest(disk: DiskSource | DiskReader, size_bytes: int) -> str:
    sum_, buffer = sha256(), memoryview(bytearray(PIECE))
    for at in range(0, size_bytes, PIECE):
        piece = buffer[: min(PIECE, size_bytes - at)]
        disk.read_into(at, piece)
        sum_.update(piece)
    return sum_.hexdigest()


@pytest.mark.parametrize("rounds", [10])
def test_digests_and_ledger_agree_in_every_round(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pong-") as folder, Sites() as sites:
        game = Game(Path(folder), sites)
        for number in range(rounds):
            game.replicate(game.stage.first)
            game.over(planned=number % 2 == 0)
            game.replicate(game.stage.second)
            game.home()
        assert game.log == f"{MACHINE}~{2 * rounds + 1}"
        game.stage.first.run("machine", "stop", MACHINE)
        assert game.stage.judge_at_home(at_rest=True).life == 2 * rounds + 1
