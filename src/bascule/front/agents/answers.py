"""What the door answers, before any network: a message and who sent it, in; bytes or an error, out.

Who sent it is known from the certificate alone. A message that names another host is refused and written
down.
"""

from __future__ import annotations

import hashlib

from bascule.model.errors import Refused
from bascule.model.generations import family
from bascule.model.vault.commands import Command
from bascule.ports.chance import Clock
from bascule.ports.vault.audit import Audit, Deed
from bascule.ports.vault.hosts import Claim, Hosts
from bascule.ports.vault.news import News, Tell
from bascule.ports.vault.pki import Authority, Certificate
from bascule.wire.control import messages
from bascule.wire.control.messages import COMMANDS_MAX, Exchange


class Answers:
    """The vault as a host sees it. Thread-safe; each method may wait for a disk."""

    def __init__(
        self,
        authority: Authority,
        hosts: Hosts,
        audit: Audit,
        clock: Clock,
        tell: Tell,
    ) -> None:
        """``tell`` hears of what hosts say, after it is kept."""
        self._authority = authority
        self._hosts = hosts
        self._audit = audit
        self._clock = clock
        self._tell = tell

    def name_of(self, certificate: bytes) -> str:
        """Return which host a certificate speaks of; whether it may come in is another question."""
        return self._authority.read(certificate).host

    def guest(self, certificate: bytes) -> Certificate:
        """Return who comes with a certificate, or refuse them."""
        found = self._authority.read(certificate)
        self.check(found)
        return found

    def check(self, guest: Certificate) -> None:
        """Refuse a guest that may not come in any more."""
        self._hosts.admit(guest, self._clock.now())

    def register(self, body: bytes, address: str) -> bytes:
        """Let a host in by a registration key."""
        asked = messages.registration_from(body)
        certificate = self._authority.issue(asked.request, asked.host)
        digest = hashlib.sha256(asked.secret.encode()).hexdigest()
        claim = Claim(asked.host, asked.name, asked.key, digest)
        text = self._hosts.register(claim, certificate, self._clock.now())
        self.note(address, "register", asked.host, detail=f"{asked.name}, by key {asked.key}")
        return messages.certificate_written(text)

    def renew(self, body: bytes, address: str) -> bytes:
        """Give a host its next certificate, whether or not the one before has expired."""
        asked = messages.renewal_from(body)
        old = self._authority.read(asked.certificate)
        words = messages.renewal_words(old.vault, old.host, old.serial, asked.request)
        self._authority.check_proof(asked.certificate, words, asked.proof)
        certificate = self._authority.issue(asked.request, old.host)
        text = self._hosts.renew(old, certificate)
        self.note(address, "renew", old.host)
        return messages.certificate_written(text)

    def commands(self, asked: Exchange, guest: Certificate) -> tuple[Command, ...]:
        """Keep what became of commands, and return those that wait."""
        _check_own(asked.host, guest)
        found = self._hosts.exchange(guest.host, asked.after, asked.results, COMMANDS_MAX)
        for result in asked.results:
            self._tell(News(order=result.id))
        return found

    def report(self, body: bytes, guest: Certificate) -> bytes:
        """Keep what a host says of itself."""
        said = messages.report_from(body)
        _check_own(said.host, guest)
        # One that says everything says nothing of groups that are gone since, which is news as well.
        gone = set(said.gone) if said.since else self._hosts.groups(guest.host) - said.groups.keys()
        kept = self._hosts.report(said, self._clock.now())
        for group, fields in said.groups.items():
            if _NEWS & fields.keys():
                self._tell(News(group=family(group)))
        for group in gone:
            self._tell(News(group=family(group)))
        return messages.kept_written(kept)

    def waited_for(self) -> frozenset[str]:
        """Return the hosts for which commands wait."""
        return frozenset(order.host for order in self._hosts.orders(only_open=True))

    def note(self, who: str, what: str, subject: str = "", *, code: str = "", detail: str = "") -> None:
        """Write down what was done or refused."""
        self._audit.note(Deed(self._clock.now(), who, what, subject, code, detail[:_DETAIL_MAX]))


_DETAIL_MAX = 500
# What a job may be waiting for; how old what is safe is, said every ten seconds, is nobody's news.
_NEWS = {"state", "generation", "resynced", "wish"}


def _check_own(host: str, guest: Certificate) -> None:
    if host != guest.host:
        raise Refused(
            f"host {guest.host} speaks for host {host}",
            cure="a host may speak for itself only",
            code="another-host",
        )
