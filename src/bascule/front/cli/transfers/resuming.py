"""A restore that was interrupted goes on where it was: a file of marks lies beside the target.

Order: the marks come before the target and go after its last flush. So a target
without marks is whole, or somebody else's; and marks name what is being restored,
so that nothing else ever goes on in that target.
"""

from __future__ import annotations

import os
from pathlib import Path

from bascule.model.errors import Exists, Missing, Refused, Unavailable

SUFFIX = ".restoring"


class Marks:
    """What is settled of one target, in a file that is replaced atomically."""

    def __init__(self, target: Path, subject: str, *, replace: bool) -> None:
        self._target = target
        self._path = target.with_name(target.name + SUFFIX)
        self._head = subject.encode()
        found, saved = self._read()
        self.is_begun = found == self._head and target.exists() and not replace
        self.saved = saved if self.is_begun else b""
        if target.exists() and not self.is_begun and not replace:
            raise self._taken(found)
        if not target.parent.is_dir():
            raise Missing(f"there is no folder {target.parent}", cure="make it, or choose another target")
        if not self.is_begun:
            self.keep(b"")

    def keep(self, data: bytes) -> None:
        """Put new marks in place of the old; they survive a power cut."""
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            with fresh.open("wb") as stream:
                stream.write(self._head + b"\n" + data)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise Unavailable(
                f"cannot keep marks in {self._path}: {error.strerror}", cure="make room there, then go on"
            ) from error

    def remove(self) -> None:
        """Say that the target is whole, or that there is none."""
        self._path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Leave nothing behind if the target was never made."""
        if not self._target.exists():
            self.remove()

    def _read(self) -> tuple[bytes, bytes]:
        try:
            head, _, saved = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return b"", b""
        except OSError as error:
            raise Refused(f"cannot read {self._path}: {error.strerror}") from error
        return head, saved

    def _taken(self, other: bytes) -> Exists:
        if not other:
            return Exists(
                f"{self._target} exists", cure="choose another target, or add --force to replace it"
            )
        return Exists(
            f"{self._target} is half restored from another point or store",
            cure="finish that restore, or add --force to begin anew",
        )
