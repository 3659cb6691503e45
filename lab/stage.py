"""The stage of the demo: two hosts, the store between them, and what can be asked of both."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Missing
from bascule.model.machines import Power
from bascule.ports.hypervisors import Hypervisor
from bascule.ports.objects import ObjectStore

from . import children, ledger, machines
from .guests import ROOT
from .ledger import Bounds, Verdict
from .sites import Apart, Host, Sites
from .stamps import NotExact
from .waiting import wait_until

MIB = 1 << 20
MACHINE = "shop"
PATIENCE_SECONDS = 120.0
# A console may be read in the middle of a number.
_SAYS = re.compile(r"ledger: .*\n")
_UP = re.compile(r"ledger: up at record (\d+),")
_CLOSED = re.compile(r"ledger: closed at record (\d+)\s")


class Failed(Exception):
    """Something did not turn out as the demo says it does."""


@dataclass
class Figures:
    """What was measured on the way."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, figure: str) -> None:
        """Add a line of the closing table."""
        self.rows.append((what, figure))

    def show(self) -> None:
        """Print the table."""
        width = max(len(what) for what, _ in self.rows)
        for what, figure in self.rows:
            print(f"   {what.ljust(width)}   {figure}")


class Computer(Protocol):
    """Where processes of a host run."""

    def entering(self) -> list[str]:
        """Return the words that make the process that runs them one of this host."""

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process."""


class Stand:
    """One site's host, and the command line there; ``machines`` that ``words`` name, if not QEMU's."""

    def __init__(
        self, name: str, folder: Path, host: Computer, words: str = "", machines: Hypervisor | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.words = words or name
        self._host = host
        self._machines = machines or QemuHost(folder / name, SystemClock(), SystemIds(), "tcg")
        self.places: dict[str, str] = {}  # what is said in the place of an argument
        self.settings = os.environ | {
            "BASCULE_CONFIG": str(folder / f"{name}-config"),
            "BASCULE_TRACE": "1",
            "BASCULE_KEY_FILE": "main.key",
            "BASCULE_HOST": self.words,
            "BASCULE_PROVIDER": f"{name}-provider",
            "BASCULE_REPLICAS": f"{name}-replicas",
            "BASCULE_ACCELERATOR": "tcg",
        }

    def run(self, *words: str, shown: bool = False, quietly: bool = False) -> str:
        """Show a command and run it; return what it printed, ``shown`` or not."""
        if not quietly:
            self._show(words)
        with children.started(self._command(words), cwd=self.folder, env=self.settings) as process:
            out, _ = process.communicate()
        if process.returncode:
            raise Failed(f"it ended with exit code {process.returncode}")
        if shown:
            print("     " + out.rstrip().replace("\n", "\n     "), flush=True)
        return out

    def run_json(self, *words: str) -> dict[str, Any]:
        """Run a command with ``--json`` and return its answer."""
        answer: dict[str, Any] = json.loads(self.run(*words, "--json"))
        return answer

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Show a command and start it; it ends with its site."""
        self._show(words, " &")
        log = (self.folder / f"{self.name}.log").open("a")
        with children.INTERRUPTS.held(), log:
            return self._host.start(self._bascule(words), env=self.settings, cwd=self.folder, stdout=log)

    def halting(self, step: int, *words: str) -> Halting:
        """Start a command that stops dead before one of its steps, 0 for none (``lab.sites.steps``)."""
        journal = self.folder / f"{self.name}.steps"
        journal.unlink(missing_ok=True)
        command = [sys.executable, "-m", "lab.sites.steps", str(journal), str(step), *self._placed(words)]
        settings = self.settings | {"PYTHONPATH": str(ROOT)}
        with (self.folder / f"{self.name}.log").open("a") as log:
            return Halting(self._host.start(command, env=settings, cwd=self.folder, stdout=log), journal)

    def power(self, machine: str = MACHINE) -> Power:
        """Tell whether a machine runs here; one that nobody defined is off."""
        try:
            return self._machines.power(machine)
        except Missing:
            return Power.OFF

    def judge(self, at_least: int) -> Verdict:
        """Cut a machine's power and judge what its disks here hold then; who serves them goes on."""
        self._machines.cut_power(MACHINE)
        with ledger.opened(*self.ledger_disks()) as disks:
            return _judged(disks, Bounds(at_least=at_least, instant=False))

    def _show(self, words: Sequence[str], end: str = "") -> None:
        print(f"   {self.name}$ bascule {' '.join(words)}{end}", flush=True)

    def _command(self, words: Sequence[str]) -> list[str]:
        return [*self._host.entering(), *self._bascule(words)]

    def _bascule(self, words: Sequence[str]) -> list[str]:
        run = "from bascule.apps.command_line import main; main()"
        return [sys.executable, "-c", run, *self._placed(words)]

    def _placed(self, words: Sequence[str]) -> list[str]:
        verb, *arguments = words
        return [verb, *(self.places.get(word, word) for word in arguments)]

    def console(self, machine: str) -> str:
        """Return what a machine here said since its start, empty if it never ran."""
        try:
            return self._machines.console(machine)
        except Missing:
            return ""

    def wait_for_console(self, words: str, machine: str = MACHINE) -> None:
        """Wait until a machine says something."""
        wait_until(lambda: words in self.console(machine), PATIENCE_SECONDS, f"{machine} to say {words!r}")

    def wait_until_up(self, machine: str) -> int:
        """Wait until a machine's ledger is up; return the record that it goes on from."""
        wait_until(
            lambda: bool(_SAYS.search(self.console(machine))), PATIENCE_SECONDS, f"the ledger of {machine}"
        )
        found = _UP.search(self.console(machine))
        if found is None:
            raise Failed(f"the ledger of {machine} is not sound:\n{self.console(machine)}")
        return int(found[1])

    def closed_at(self) -> int:
        """Return the last record that the machine wrote here before it was shut down."""
        found = _CLOSED.search(self.console(MACHINE))
        if found is None:
            raise Failed("the ledger was not closed in order")
        return int(found[1])

    def ledger_disks(self) -> list[str]:
        """Return where the disks of the ledger are by now."""
        return machines.ledger_disks(self._machines.definition(MACHINE))


class Halting:
    """A command that stops dead before a step, unless it ends first."""

    def __init__(self, process: subprocess.Popen[str], journal: Path) -> None:
        self.process = process
        self._journal = journal

    def has_halted(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until it stands or has ended; tell whether it stands."""
        found: list[int] = []

        def look() -> bool:
            options = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
            state = os.waitid(os.P_PID, self.process.pid, options)
            found[:] = [state.si_code] if state else []
            return state is not None

        wait_until(look, seconds, "a command to halt or to end")
        return found == [os.CLD_STOPPED]

    def go_on(self) -> int:
        """Let it go on, and return how it ends."""
        self.process.send_signal(signal.SIGCONT)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> int:
        """Kill it, standing or not, and return how it ended."""
        self.process.kill()
        return self.process.wait(PATIENCE_SECONDS)

    def steps(self) -> list[str]:
        """Return the steps that it came to, the one that it stands before last."""
        return self._journal.read_text(errors="replace").splitlines()


class Stage:
    """The folder where it happens, the sites, and the judge.

    The hosts work in this folder; or ``apart``, each in one of its own in it, which it takes for all of it.
    """

    def __init__(self, folder: Path, sites: Sites, *, apart: bool = False) -> None:
        self.folder = folder
        self.sites = sites
        self.figures = Figures()
        self.objects: Callable[[], ObjectStore] = lambda: LocalStore(self.path("store"))
        self.size = 0
        hosts = sites.primary.add_host("first"), sites.recovery.add_host("second")
        self.first, self.second = (self._apart(h) if apart else Stand(h.name, folder, h) for h in hosts)

    def _apart(self, host: Host) -> Stand:
        own, store = self.folder / host.name, self.folder / "store"
        for place in (own, store):
            place.mkdir(exist_ok=True)
        return Stand(host.name, own, Apart(host, self.folder, own, store))

    def path(self, name: str) -> Path:
        """Return a place in the folder."""
        return self.folder / name

    def points(self, group: str) -> int:
        """Return how many points a group has."""
        return len(self.numbers(group))

    def numbers(self, group: str) -> list[int]:
        """Return the numbers of a group's points, oldest first."""
        with closing(self.objects()) as objects:
            try:
                return [point.number for point in self._vault(objects).points(group)]
            except Missing:
                return []

    def changed_bytes(self, group: str) -> int:
        """Return how many bytes the points of a group changed, all together."""
        with closing(LocalStore(self.path("store"))) as objects:
            points = self._vault(objects).points(group)
            return sum(disk.changed_bytes for one in points for each in one.machines for disk in each.disks)

    def vault_groups(self) -> list[str]:
        """Return the groups in the store."""
        with closing(self.objects()) as objects:
            return self._vault(objects).groups()

    def judge_newest(self, group: str, *, is_torn: bool = False) -> tuple[int, Verdict]:
        """Judge the newest point of a group: the machine's disks must be as of one instant.

        If it was made of disks that were ``is_torn`` by a power cut, they must be as flushed at least.
        """
        return self.judge_point(group, is_torn=is_torn)

    def judge_point(
        self, group: str, number: int | None = None, *, is_torn: bool = False
    ) -> tuple[int, Verdict]:
        """Judge a point, the newest if it has no number."""
        with ExitStack() as stack:
            objects = stack.enter_context(closing(self.objects()))
            point = stack.enter_context(self._vault(objects).point(group, number, purpose="judge"))
            disks = [point.disk(DiskKey(*key)) for key in point.disks() if key.disk != "boot"]
            return point.info.number, _judged(disks, Bounds(at_least=1, instant=not is_torn))

    def judge_at_home(self, *, at_rest: bool = False) -> Verdict:
        """Judge the disks at the first site, whose machine is off: cut off, or at rest."""
        with ExitStack() as stack:
            disks = stack.enter_context(ledger.opened(*self.first.ledger_disks()))
            return _judged(disks, Bounds(at_least=1, instant=at_rest))

    def _vault(self, objects: ObjectStore) -> Vault:
        key = KeyFile.read(self.path("main.key"))
        return Vault.open(objects, key, ids=SystemIds(), clock=SystemClock())


def _judged(disks: Sequence[ledger.Disk], bounds: Bounds) -> Verdict:
    try:
        return ledger.judge(disks, bounds)
    except NotExact as error:
        raise Failed(f"the judge says: {error}") from error


def step(text: str) -> None:
    """Say what comes now."""
    print(f"\n-- {text}", flush=True)


def ok(what: str) -> None:
    """Say what was checked and holds."""
    print(f"   ok: {what}", flush=True)
