"""What stands behind a vault's door."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.ports.vault.audit import Audit
from bascule.ports.vault.hosts import Hosts
from bascule.ports.vault.news import News, Tell
from bascule.ports.vault.pki import Authority
from bascule.ports.vault.postings import Postings


def _nobody(_news: News) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class VaultDoor:
    """Who is vouched for, who is let in, and what is written down of it; what jobs have hosts do.

    ``tell`` hears of what hosts say.
    """

    authority: Authority
    hosts: Hosts
    audit: Audit
    postings: Postings
    tell: Tell = _nobody
