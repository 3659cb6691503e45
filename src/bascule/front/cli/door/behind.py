"""What stands behind a vault's door."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.ports.vault.audit import Audit
from bascule.ports.vault.hosts import Hosts
from bascule.ports.vault.pki import Authority


@dataclass(frozen=True, slots=True)
class VaultDoor:
    """Who is vouched for, who is let in, and what is written down of it."""

    authority: Authority
    hosts: Hosts
    audit: Audit
