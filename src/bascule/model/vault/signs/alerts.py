"""Whom a vault tells of its events (R-OP-2), and up to which it has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bascule.model.errors import Refused

from .event import Event, Health

ONLY = "default"
"""A vault has one of these settings."""

_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")
_HOOK = re.compile(r"https?://[^\s/@]+(/\S*)?")
_MAILBOXES_MAX = 20


class Way(StrEnum):
    """How events get out. Each has its own place in the row of events, so neither waits for the other."""

    MAIL = "mail"
    HOOK = "hook"


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told: mailboxes, and an address to which events are posted; of what is so bad at least."""

    vault: str
    mailboxes: tuple[str, ...] = ()
    hook: str = ""
    least: Health = Health.CRITICAL
    id: str = ONLY

    def __post_init__(self) -> None:
        wrong = [one for one in self.mailboxes if not _MAILBOX.fullmatch(one)]
        if wrong or len(self.mailboxes) > _MAILBOXES_MAX:
            what = f"{wrong[0]!r} is no mailbox" if wrong else f"more than {_MAILBOXES_MAX} mailboxes"
            raise Refused(what, cure="name people as NAME@HOST, a list of them for many", code="bad-mailbox")
        if self.hook and not _HOOK.fullmatch(self.hook):
            raise Refused(
                f"{self.hook!r} is no address to post to", cure="name it as https://…", code="bad-hook"
            )

    def ways(self) -> tuple[Way, ...]:
        """Return the ways on which somebody is told."""
        return (*((Way.MAIL,) if self.mailboxes else ()), *((Way.HOOK,) if self.hook else ()))

    def wants(self, event: Event) -> bool:
        """Is somebody told of an event? That something is over is told whatever it was."""
        return event.health in (self.least, Health.CRITICAL, Health.HEALTHY)


@dataclass(frozen=True, slots=True)
class AlertPlace:
    """Up to which event a vault has told on a way; ``until`` then nobody but ``node`` tells."""

    vault: str
    id: str
    number: int
    node: str = ""
    until: float = 0.0
