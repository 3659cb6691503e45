"""The hosts that a vault knows: who may come in, what they are to do, what they said last.

It is all that the vault's door asks of the vault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bascule.model.vault.commands import Command, Json, Report, Result

from .pki import Certificate


@dataclass(frozen=True, slots=True)
class RegistrationKey:
    """A key by which hosts may join until it expires. Of its secret only the digest is kept.

    A key for any host (``host`` empty) makes new ones known; one for a host may also replace that.
    """

    id: str
    secret_digest: str
    expires_at: float
    host: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A host that wants to join, by a key."""

    host: str
    name: str
    key: str
    secret_digest: str


@dataclass(frozen=True, slots=True)
class HostState:
    """A host as the vault knows it. ``key`` is the registration key by which it joined last.

    ``machines`` are the machines that it says it has, as it calls them, each with what it says of its disks.

    ``groups`` holds the facts of each group, by field, as they were reported: nobody has checked them.
    ``revision`` grows with each report that changed them or the machines.
    """

    id: str
    name: str
    registered_at: float
    certificate_expires_at: float
    is_revoked: bool = False
    seen_at: float | None = None
    report: int = 0
    groups: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    key: str = ""
    machines: Mapping[str, Json] = field(default_factory=dict)
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A host, and when it was heard of last."""

    host: str
    is_revoked: bool
    seen_at: float | None


@dataclass(frozen=True, slots=True)
class Order:
    """A command to a host, and what became of it."""

    host: str
    command: Command
    result: Result | None = None


class Hosts(Protocol):
    """Hosts of a vault. Thread-safe, and safe beside other processes that have the same hosts open.

    What returns is durable, but for what ``report`` and ``admit`` say of the moment. Raises Refused for
    what is not allowed, Missing for a host that is not known, Unavailable if the place of it all does not
    answer.
    """

    def trust(self, authority: str) -> None:
        """Remember by whose word hosts are let in, an authority's own certificate.

        Refused for another one than the first time (``another-authority``): its hosts would find no door.
        """

    def add_key(self, key: RegistrationKey) -> None:
        """Let hosts join by a key."""

    def register(self, claim: Claim, certificate: Certificate, now: float) -> str:
        """Let a host in and return its certificate's text.

        Refused if the key is unknown (``unknown-key``), expired (``key-expired``), or was used for this
        host already (``key-used``), and if the host is known and the key is not for it (``host-known``).
        Only a host that asks again for the same private key, as one whose answer was lost, gets the
        certificate that it got before. A key for the host takes the place of all that was: it ends a
        revocation.
        """

    def renew(self, old: Certificate, certificate: Certificate) -> str:
        """Give a host its next certificate; asked again for the same private key, the same one.

        Refused unless ``old`` is the host's newest one (``superseded``) and it is not revoked (``revoked``).
        """

    def admit(self, certificate: Certificate, now: float) -> None:
        """Refuse who is not known (``unknown-host``), is revoked, or has a newer one (``superseded``).

        The one before serves until the newest one was first seen: its answer may have been lost.
        """

    def revoke(self, host: str) -> None:
        """Let a host in no more, with whichever certificate."""

    def give(self, host: str, order: str, verb: str, group: str, arguments: Mapping[str, Json]) -> Command:
        """Have a host do something. Given again under the same ``order`` it is the same command."""

    def exchange(self, host: str, after: int, results: tuple[Result, ...], limit: int) -> tuple[Command, ...]:
        """Keep the first result of each command, and return commands after ``after`` that have none.

        Refused for a host that is revoked by now, as is its ``report``.
        """

    def report(self, report: Report, now: float) -> int:
        """Keep what a host says.

        Return the number that is kept then, 0 if a report before this one is missing.
        """

    def all(self, known: Mapping[str, HostState] = ...) -> tuple[HostState, ...]:
        """Return all hosts, by id.

        What they said is read only where it has changed since the states that are ``known``, by their ids.
        """

    def orders(self, host: str = "", *, only_open: bool = False) -> tuple[Order, ...]:
        """Return the commands of one host or of all, in their order; or those only that have no result."""

    def groups(self, host: str) -> frozenset[str]:
        """Return of which groups a host says something."""

    def sightings(self) -> tuple[Sighting, ...]:
        """Return how all hosts stand, without what they said: that may be much."""

    def forget(self, now: float, keep_seconds: float) -> int:
        """Forget the commands whose result has been there for so long, and return how many there were.

        Only for longer than a job may ask for what it ordered: one that is forgotten would be given again.
        """
