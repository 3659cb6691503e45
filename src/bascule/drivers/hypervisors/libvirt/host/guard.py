"""The question at start, asked by libvirt itself: a hook, which keeps a machine off by its exit code.

``virsh start``, the autostart at boot, a restore: libvirt's system daemon runs the hook before any of them.
It asks for machines that have a mark of ours, and for no others. It must not call libvirt, which waits for
it, so it looks at files only. Whoever starts a machine by us has asked already, or was told to force it:
meanwhile we hold a lock, which dies with us, and the hook lets the machine pass whose lock is held.
"""

from __future__ import annotations

import fcntl
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...qemu.host.folder import replace_durably

HOOKS: Final = Path("/etc/libvirt/hooks/qemu.d")
"""Where libvirt looks for hooks of its machines, whatever else is in there."""

MARK: Final = "belonging.json"
"""What a machine belongs to, in its folder."""

_PASSING = "starting"
_SECONDS = 60
_SCRIPT = """#!/bin/sh
# Made by `bascule machine guard`: libvirt runs this before it starts a machine, whoever asked for that, and
# leaves the machine off if this fails. Without this file nobody is asked.
[ "$2/$3" = prepare/begin ] || exit 0
place={folder}/"$1"
[ -s "$place/{mark}" ] || exit 0
flock --nonblock --conflict-exit-code 9 "$place/{passing}" true
[ $? != 9 ] || exit 0
{settings}exec timeout {seconds} {asking} "$1" "$place/{mark}" < /dev/null
"""
_SETTINGS = "set -a\n. {path}\nset +a\n"


class Guard:
    """The hook of one host of ours, for the machines whose folders are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._path = HOOKS / f"bascule-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:8]}"

    @property
    def is_there(self) -> bool:
        """Tell whether the hook is where libvirt looks for it."""
        return self._path.exists()

    def post(self, asking: Sequence[str], settings: Path | None) -> Path:
        """Put the hook there, or put it there anew, and return where that is.

        ``asking`` is run with a machine's name and the path of its mark behind it, under the ``settings``.
        """
        script = _SCRIPT.format(
            folder=shlex.quote(str(self._folder)),
            mark=MARK,
            passing=_PASSING,
            settings=_SETTINGS.format(path=shlex.quote(str(settings))) if settings else "",
            seconds=_SECONDS,
            asking=shlex.join(asking),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(self._path, script, 0o755)
        return self._path

    @contextmanager
    def passing(self, name: str) -> Iterator[None]:
        """Let a machine start inside the block, whatever its mark says."""
        place = self._folder / name / _PASSING
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
