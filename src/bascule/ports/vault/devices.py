"""Where the server keeps devices that wait for a person."""

from __future__ import annotations

from typing import Protocol

from bascule.model.vault.principal import Device


class Devices(Protocol):
    """The devices that wait. Thread-safe; servers that share a database share them.

    Raises Unavailable if the place of it all does not answer.
    """

    def add(self, device: Device, most: int, now: float) -> None:
        """Write one in, and forget what expired. Refused if there are ``most``, Exists by its code."""

    def agree(self, code: str, person: str, secret: str, now: float) -> None:
        """Write down who agreed, once, or raise Missing."""

    def get(self, id: str) -> Device:
        """Return one, or raise Missing."""

    def remove(self, id: str) -> None:
        """Remove one, or raise Missing: so of two that ask for what was agreed to, one gets it."""
