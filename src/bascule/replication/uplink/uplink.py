"""The host's side of the door: two threads, each with a line of its own, for as long as the provider runs.

One waits for commands and carries them out, or has them carried out (``errands``); the other one tells what
changed, and what became of errands. Without a vault, or when it does not answer, replication goes on as it
is: nothing here is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.model.vault.commands import Command
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.pki import Credentials
from bascule.replication.provider.folder import ProviderFolder
from bascule.wire.control import messages

from .errands import CarryOut, Errands, Hands, Headways
from .joining import renew
from .journal import Journal
from .line import Line
from .obeying import obey
from .papers import Contact, Desk, Papers
from .reporting import Machines, Reporter

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
# Longer than the door lets anybody wait.
_WAIT_SECONDS = 90.0
_CONTACT_SECONDS = 10.0
_NEWS_SECONDS = 0.1
_HANG_UPS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon the vault is asked again: twice as long after each failure, and rarely after a refusal."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    refused_seconds: float = 300.0


class Uplink:
    """Keeps a host in touch with its vault, if it has one."""

    def __init__(
        self,
        folder: ProviderFolder,
        credentials: Credentials,
        clock: Clock,
        ids: Ids,
        pace: Pace = Pace(),
        verbs: Mapping[str, CarryOut] | None = None,
    ) -> None:
        """``verbs`` are what the vault may have done beside wishes, each by its name.

        Who knows the host's machines sets ``machines``, and what verbs tell how far they are ``headways``,
        before it runs.
        """
        self.machines: Machines | None = None
        self.headways = Headways()
        self._folder = folder
        self._desk = Desk(folder.path)
        self._credentials = credentials
        self._clock = clock
        self._ids = ids
        self._pace = pace
        self._errands = Errands(self._desk.errands)
        self._hands = Hands(self._errands, verbs or {}, self._tell_soon, headways=lambda: self.headways)
        # One of the two threads at a time has to do with the journal.
        self._hearing = threading.Lock()
        self._news = threading.Event()
        self._commands, self._facts = Line(as_guest=True), Line(as_guest=True)
        # Held by whoever changes the certificate, and by the report that is under way with the old one.
        self._renewing = threading.Lock()
        self._contact = self._desk.contact()
        self._wake = threading.Event()
        self._hang_ups = 0

    def run(self, over: threading.Event) -> None:
        """Be in touch until it is over."""
        waiting = threading.Thread(target=self._wait_for_commands, args=(over,), name="vault")
        hands = threading.Thread(target=self._hands.run, args=(over,), name="hands")
        waiting.start()
        hands.start()
        try:
            self._report(over)
        finally:
            over.wait()
            self._wake.set()
            self._hands.stop()
            hands.join()
            self._commands.hang_up(for_good=True)
            waiting.join()
            self._facts.hang_up()

    # What is told.

    def _report(self, over: threading.Event) -> None:
        reporter: Reporter | None = None
        seen: Papers | None = None
        failures, pause = 0, 0.0
        while not self._paused(over, pause):
            pause = 0.0
            try:
                if _is_another(papers := self._desk.papers(), seen):
                    if seen is not None:
                        self._commands.hang_up()
                    seen = papers
                    reporter = self._reporter(papers.host) if papers else None
                    self._wake.set()
                if reporter is not None:
                    self._tell(reporter)
                    self._tell_results()
                failures = 0
            except BasculeError as error:
                failures += 1
                pause = self._pause(error, failures)
                log.info("replication.report_failed", reason=error.message)

    def _reporter(self, host: str) -> Reporter:
        return Reporter(self._folder, host, self.machines, self.headways.known)

    def _tell(self, reporter: Reporter) -> None:
        report = reporter.next(self._clock.monotonic())
        if report is None:
            return
        with self._renewing:
            papers = self._desk.papers()
            if papers is None:
                return
            answer = self._facts.ask(papers, "facts", messages.written(report))
        reporter.kept(report, messages.kept_from(answer), self._clock.monotonic())

    def _tell_results(self) -> None:
        """Tell what became of errands by this line: the other one may be waiting for long."""
        self._news.clear()
        papers = self._desk.papers()
        if papers is not None and self._errands.results():
            with self._renewing:
                self._exchange(papers, self._facts, only_to_tell=True)

    def _tell_soon(self) -> None:
        self._news.set()

    def _paused(self, over: threading.Event, seconds: float) -> bool:
        """Wait until it is time to look again; an errand that has ended is told at once."""
        left = seconds or _LOOK_SECONDS
        while left > 0 and not over.wait(_NEWS_SECONDS):
            left -= _NEWS_SECONDS
            if self._news.is_set() and not seconds:
                break
        return over.is_set()

    # What is heard.

    def _wait_for_commands(self, over: threading.Event) -> None:
        failures = 0
        while not over.is_set():
            self._wake.clear()
            pause = 0.0
            try:
                papers = self._desk.papers()
                if papers is None:
                    pause = self._pace.most_seconds
                else:
                    self.hear(papers)
                failures = 0
            except BasculeError as error:
                if over.is_set():
                    return
                failures += 1
                pause = self._pause(error, failures)
                self._failed(error)
            self._wake.wait(pause)

    def hear(self, papers: Papers) -> None:
        """Ask once, and do what is asked.

        What cannot be done at the moment is not done, and asked for again.
        """
        papers = self._valid(papers)
        try:
            self._exchange(papers, self._commands)
        except Unavailable as error:
            self._hang_ups = self._hang_ups + 1 if error.code == "hung-up" else 0
            raise
        self._hang_ups = 0
        self._touched()

    def _exchange(self, papers: Papers, line: Line, *, only_to_tell: bool = False) -> None:
        """Tell results, hear commands. Both threads may at once: what both hear the second one lets be."""
        with self._hearing:
            journal = self._journal()
            results = (*journal.results, *self._errands.results())[: messages.COMMANDS_MAX]
        if only_to_tell and not results:
            return  # the other thread was faster, and an exchange that tells nothing waits
        asked = messages.Exchange(papers.host, journal.done, results)
        answer = line.ask(papers, "commands", messages.written(asked), _WAIT_SECONDS)
        with self._hearing:
            journal = self._journal()
            journal.confirm(results)
            self._errands.confirm(results)
            for command in messages.commands_from(answer):
                if command.sequence > journal.done:
                    self._obey(command, journal)

    def _journal(self) -> Journal:
        return Journal(self._desk.path / "journal.json")

    def _obey(self, command: Command, journal: Journal) -> None:
        log.info("replication.command_heard", command=command.id, verb=command.verb, item=command.group)
        if self._hands.knows(command.verb):
            self._hands.take(command)
            journal.accept(command.sequence)
        else:
            journal.add(obey(self._folder, command))

    def _valid(self, papers: Papers) -> Papers:
        """Return papers with a certificate that has time left; if it cannot be renewed yet, the old one."""
        now = self._clock.now()
        held = self._credentials.read(self._desk.pair()[0])
        # By our clock it is valid, and by the vault's it may have expired.
        if now < held.renew_at and self._hang_ups < _HANG_UPS:
            return papers
        try:
            return self._renew(papers)
        except Unavailable:
            if now >= held.expires_at:
                raise
            return papers

    def _renew(self, papers: Papers) -> Papers:
        with self._renewing:
            fresh = renew(self._desk, papers, self._credentials)
            log.info("replication.certificate_renewed", expires_at=fresh.expires_at)
            self._hang_ups = 0
            return self._desk.papers() or papers

    # How it stands.

    def _touched(self) -> None:
        now = self._clock.now()
        before = self._contact
        if before.code or before.at is None or not 0 <= now - before.at < _CONTACT_SECONDS:
            self._say(Contact(now))

    def _failed(self, error: BasculeError) -> None:
        log.info("replication.vault_failed", code=error.code, reason=error.message)
        contact = replace(self._contact, code=error.code, message=error.message, cure=error.cure)
        self._say(replace(contact, failed_at=self._clock.now()))

    def _say(self, contact: Contact) -> None:
        self._contact = contact
        try:
            self._desk.tell(contact)
        except BasculeError as error:
            log.warning("replication.contact_untold", reason=error.message)

    def _pause(self, error: BasculeError, failures: int) -> float:
        """Hosts that were cut off together do not come back together."""
        if isinstance(error, Refused):
            return self._pace.refused_seconds
        longest = min(self._pace.first_seconds * float(1 << min(failures - 1, 16)), self._pace.most_seconds)
        return longest * (0.5 + self._ids.random(1)[0] / 512)


def _is_another(papers: Papers | None, seen: Papers | None) -> bool:
    """Tell whether it is another vault, or another host at it; a renewed certificate is not."""
    if papers is None or seen is None:
        return papers is not seen
    return replace(papers, serial=seen.serial) != seen
