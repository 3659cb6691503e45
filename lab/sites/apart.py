"""A host that shares no file with another one but those of the store, as two computers do.

Each of its processes begins in a mount namespace of its own, in which the same few folders lie over those of
this machine: so every process of the host sees the same, and none of them what another host has. Nor does it
hold what others mount for a while, who wait until nobody does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from lab.guests import ROOT

from .topology import Host

_MOVE_IN = """
set -e
whole=$1 own=$2 store=$3 code=$4
shift 4
awk '$5 ~ "^/(var/)?tmp/" { print $5 }' /proc/self/mountinfo | sort -r | while read -r other; do
    umount -l "$other"
done
mkdir -p "$own/tmp" "$own/run" "$own/shm" "$own/store"
mount --bind "$store" "$own/store"
case $code in /tmp/*) mkdir -p "$own$code"; mount --bind "$code" "$own$code" ;; esac
mount --rbind "$own" "$whole"
mount --rbind "$whole/tmp" /tmp
mount --bind "$whole/run" /run
mount --bind "$whole/shm" /dev/shm
cd "$whole"
exec "$@"
"""


class Apart:
    """A host that sees ``own`` in the place of ``whole``, the folder of all, and there the ``store``."""

    def __init__(self, host: Host, whole: Path, own: Path, store: Path) -> None:
        self.host = host
        self._places = (whole, own, store, ROOT)

    def entering(self) -> list[str]:
        """Return the words that make the process that runs them one of this host."""
        return [*self.host.entering(), *self._moving_in()]

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process; see Host."""
        return self.host.start([*self._moving_in(), *command], env=env, cwd=cwd, stdout=stdout)

    def _moving_in(self) -> list[str]:
        return ["unshare", "-m", "sh", "-c", _MOVE_IN, "sh", *map(str, self._places)]
