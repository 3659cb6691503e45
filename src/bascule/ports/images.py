"""Images of a host's machines that are off: new ones beside old ones, and what they record."""

from __future__ import annotations

from typing import Protocol

from bascule.model.machines import DiskPlace

from .disks import DiskSink, DiskSource


class Replica(DiskSource, DiskSink, Protocol):
    """A disk that is read and written by one who has it for himself."""


class Images(Protocol):
    """Makes and opens images. Raises Refused for one that somebody uses."""

    def open(self, place: DiskPlace) -> DiskSource:
        """Open an image to be read."""

    def is_there(self, place: DiskPlace) -> bool:
        """Tell whether an image is at a place."""

    def size_bytes(self, place: DiskPlace) -> int:
        """Return how large the disk of an image is, used or not; 0 where its head alone does not say."""

    def open_beside(self, place: DiskPlace, size_bytes: int, on: DiskPlace | None) -> Replica:
        """Open the image at ``place`` to be changed; made if it is not there.

        A new one holds what the image ``on`` holds, which is never written through it, or zeroes.
        """

    def record(self, place: DiskPlace, name: str) -> None:
        """Have an image record what changes on it from now on, under a name; again, it is nothing new."""

    def melt(self, place: DiskPlace) -> DiskPlace | None:
        """Write an image into the one that it lies on, and return that; None if it lies on none.

        Both hold the same afterwards, whenever this ends, so it can be done again.
        """
