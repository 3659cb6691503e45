"""Guests made ready for an instant, and let go on after it (R-RP-1, R-R-8).

Order: note that the command after is owed; run the command before; make the applications in the guests
ready; freeze the guests of all machines at one time; the instant; thaw them; let the applications go on; run
the command after; take the note away. Whoever is killed in between leaves guests that their watches thaw, and
a note by which the next owner runs the command after; applications go on by themselves.

None of it keeps a point from being made. What fails makes it crash-consistent, and says why. A point counts
as more only if each guest that was frozen says of *our* thaw that it stood still until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from bascule.model.consent.applications import applications_of
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.policies import Consistency
from bascule.ports.guests import Commands, GuestAgent

COMMAND_SECONDS = 30.0
"""How long a command of the operator may take, and a script in a guest."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Around:
    """What the operator wants to have run around an instant; ``note`` is a file of ours."""

    group: str
    note: Path
    commands: Commands
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()

    def run(self, phase: str, machines: Sequence[str]) -> None:
        """Run the command before or after, if there is one."""
        words = self.before if phase == "before" else self.after
        if words:
            facts = {
                "BASCULE_GROUP": self.group,
                "BASCULE_MACHINES": " ".join(machines),
                "BASCULE_PHASE": phase,
            }
            self.commands.run(words, facts, COMMAND_SECONDS)


class Quiesce:
    """The guests of a group, and its operator's commands. Use from one thread.

    ``agents`` has None for a machine whose guest cannot be reached; it is empty where none is to be frozen.
    """

    def __init__(self, around: Around, agents: Mapping[str, GuestAgent | None]) -> None:
        self._around = around
        self._agents = agents
        self._complaints: list[str] = []

    @property
    def complaint(self) -> str:
        """Return why the last point was crash-consistent only, or which command failed; empty if nothing."""
        return "; ".join(self._complaints)

    def settle(self) -> None:
        """Bring to its end what an owner that died had begun."""
        for machine, agent in self._agents.items():
            if agent is not None:
                self._tried(machine, agent.settle)
        if self._around.note.exists():
            self._run_after(self._around.note.read_text().split())

    @contextmanager
    def around(self, machines: Sequence[str]) -> Iterator[Callable[[], Consistency]]:
        """Make the guests of machines ready; what is yielded says afterwards how consistent the point is."""
        self._complaints.clear()
        found = [Consistency.CRASH]
        try:
            is_ready = self._run_before(machines)
            has_consent = is_ready and self._run_in_guests("before", machines)
            frozen = self._freeze(machines) if is_ready and self._agents else {}
            try:
                yield lambda: found[0]
            finally:
                is_still = self._thaw(frozen)
                has_consent &= self._run_in_guests("after", machines) if is_ready else False
            if is_ready and (not self._agents or (is_still and len(frozen) == len(machines))):
                is_asked = bool(self._around.before or self._around.applications)
                is_application = is_asked and has_consent
                found[0] = Consistency.APPLICATION if is_application else Consistency.FILE_SYSTEM
        finally:
            self._run_after(machines)

    def _run_before(self, machines: Sequence[str]) -> bool:
        if self._around.after:
            note = self._around.note
            if not self._tried("before", partial(_write, note, " ".join(machines))):
                return False
        return self._tried("before", partial(self._around.run, "before", machines))

    def _run_in_guests(self, phase: str, machines: Sequence[str]) -> bool:
        """Run what is shipped for the applications of the guests, in all guests at one time."""

        def run(machine: str) -> None:
            found = applications_of(machine, self._around.applications)
            scripts = [each.before if phase == "before" else each.after for each in found]
            agent = self._agents.get(machine)
            for script in filter(None, scripts):
                if agent is None:
                    raise Unavailable("nobody knows the channel of its guest agent")
                try:
                    agent.run(script, COMMAND_SECONDS)
                finally:
                    if phase == "after":
                        agent.close()

        return not self._around.applications or self._each(machines, run)

    def _run_after(self, machines: Sequence[str]) -> None:
        if self._around.note.exists():
            self._tried("after", partial(self._around.run, "after", machines))
            self._around.note.unlink(missing_ok=True)

    def _freeze(self, machines: Sequence[str]) -> dict[str, int]:
        """Freeze all guests at one time; return of how many file systems each says that they stand still."""
        frozen: dict[str, int] = {}

        def freeze(machine: str) -> None:
            agent = self._agents.get(machine)
            if agent is None:
                raise Unavailable("nobody knows the channel of its guest agent")
            count = agent.freeze()
            frozen[machine] = count
            if not count:
                raise Unavailable("its guest has no file system that can be frozen")

        self._each(machines, freeze)
        return frozen

    def _thaw(self, frozen: Mapping[str, int]) -> bool:
        """Thaw all that were frozen; was each of them frozen until now?"""

        def thaw(machine: str) -> None:
            agent = self._agents[machine]
            assert agent is not None, "it was frozen by this agent"
            if agent.thaw() != frozen[machine] or not frozen[machine]:
                raise Unavailable("its guest was thawed before the instant was over")

        return self._each(list(frozen), thaw)

    def _each(self, machines: Sequence[str], step: Callable[[str], None]) -> bool:
        if not machines:
            return True
        with ThreadPoolExecutor(len(machines), "guest") as crew:
            return all(list(crew.map(lambda machine: self._tried(machine, partial(step, machine)), machines)))

    def _tried(self, what: str, step: Callable[[], None]) -> bool:
        try:
            step()
        except BasculeError as error:
            log.warning("replication.not_quiesced", group=self._around.group, of=what, reason=error.message)
            self._complaints.append(f"{what}: {error.message}")
            return False
        return True


def _write(note: Path, text: str) -> None:
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.write_text(text)
    except OSError as error:
        raise Unavailable(f"{note}: {error.strerror}", cure="make room there") from error
