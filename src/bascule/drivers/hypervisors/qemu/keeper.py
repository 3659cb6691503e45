"""Let a machine run again when whoever stopped it dies, and when it takes too long.

A second process holds the connection to QEMU as long as the machine is to stand still. It
has two reasons. QEMU forgets the commands it has not run yet when the connection they
came by closes: a process that died between sending ``stop … cont`` and its running left the machine
standing in 4 of 60 tries. And machines that are frozen together stand still over several commands,
so that whoever dies in between has not even sent ``cont``: the keeper sends it.
It waits for the end of the first process, or of the time, then for the event that says
the machine runs again. The socket has to be a blocking one, for its mode is shared.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STANDS_AT_MOST_SECONDS: Final = 5
"""How long a machine is left standing by one who lives but does not come to letting it go."""

# A stop flushes every disk first, which takes long where the host is busy.
_SECONDS: Final = 60

# Above 128 the time is over and the first process lives: it will read what QEMU answers.
# dash knows no such read, and no descriptor above 9.
_WATCH: Final = """
go() {{ printf '%s\\n' '{{"execute":"cont","id":"keeper"}}' >&{descriptor}; }}
read -r -t {limit} _
[ $? -gt 128 ] && {{ go; read -r _; }}
go
exec timeout {seconds} grep -qm1 RESUME <&{descriptor}
"""


class Keeper:
    """Holds a socket open, and lets the machine behind it run unless it is ended first."""

    def __init__(self, descriptor: int) -> None:
        watch = _WATCH.format(descriptor=descriptor, limit=STANDS_AT_MOST_SECONDS, seconds=_SECONDS)
        self._process = subprocess.Popen(
            ["bash", "-c", watch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # whoever kills our group does not mean the machine
        )

    def end(self) -> None:
        """Let go of the socket; safe to call twice."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def kept_open(descriptor: int) -> Iterator[None]:
    """Hold a socket open inside the block, and until the machine runs if this process dies there."""
    keeper = Keeper(descriptor)
    try:
        yield
    finally:
        keeper.end()
