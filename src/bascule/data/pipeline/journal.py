"""What a transfer need not do again after a kill: a bitmap of settled blocks per disk.

The marks hold for one subject only, such as one point on its way to one target. The
caller keeps the bytes wherever a file can be replaced atomically, and begins with
what it kept; what was kept about another subject is ignored.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from threading import Lock

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent
from bascule.data.store import DiskKey
from bascule.model.errors import Damaged

# How much work a kill may cost.
EVERY_BYTES = 256 << 20


class Journal:
    """Marks of settled blocks, handed to ``save`` as bytes now and then. Thread-safe."""

    def __init__(self, about: str, save: Callable[[bytes], None], saved: bytes = b"") -> None:
        """``about`` names what only the caller knows, such as the target or the frozen image."""
        self._subject = about
        self._save = save
        self._saved = saved
        self._lock = Lock()
        self._saving = Lock()
        self._settled: dict[DiskKey, Bitmap] = {}
        self._pending: list[tuple[DiskKey, Extent]] = []
        self._pending_bytes = 0

    def open(self, about: str = "") -> None:
        """Take up the marks that were saved, if they are about this subject too."""
        with self._lock:
            self._subject = f"{self._subject} {about}".strip()
            self._settled = _load(self._saved, self._subject) if self._saved else {}

    def settled(self, disk: DiskKey, size: int) -> Bitmap:
        """Return a copy of the marks of a disk; a disk that changed its size has none."""
        with self._lock:
            bitmap = self._settled.get(disk)
            fresh = Bitmap(size, BLOCK)
            if bitmap is None or bitmap.size != size:
                self._settled[disk] = Bitmap(size, BLOCK)
            else:
                fresh.merge(bitmap)
            return fresh

    def mark(self, disk: DiskKey, extents: Iterable[Extent], settle: Callable[[], None]) -> None:
        """Say that extents are settled; ``settle`` makes sure that they stay so, before they are saved."""
        with self._lock:
            for extent in extents:
                self._pending.append((disk, extent))
                self._pending_bytes += extent.length
            is_due = self._pending_bytes >= EVERY_BYTES
        if is_due:
            self.keep(settle)

    def keep(self, settle: Callable[[], None]) -> None:
        """Save what was marked before the call."""
        with self._saving:
            with self._lock:
                marks, self._pending, self._pending_bytes = self._pending, [], 0
            if not marks:
                return
            settle()
            with self._lock:
                for disk, extent in marks:
                    self._settled[disk].mark(extent)
                data = self._dump()
            self._save(data)

    def _dump(self) -> bytes:
        disks = [[*key, b64encode(bitmap.to_bytes()).decode()] for key, bitmap in self._settled.items()]
        return json.dumps({"subject": self._subject, "disks": disks}).encode()


def _load(saved: bytes, subject: str) -> dict[DiskKey, Bitmap]:
    try:
        fields = json.loads(saved)
        if fields["subject"] != subject:
            return {}
        return {
            DiskKey(machine, disk): Bitmap.from_bytes(b64decode(bits))
            for machine, disk, bits in fields["disks"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"the journal of {subject} cannot be read: {error}",
            cure="remove it: the work then starts from the beginning",
        ) from error
