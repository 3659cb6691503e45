"""Keep a connection to QEMU open over the death of this process, while a machine stands still.

QEMU forgets the commands it has not run yet when the connection they came by closes. A
process that dies between sending ``stop`` and the running of ``cont`` would leave the
machine standing: seen in 4 of 60 tries. So while that lasts a second process holds the same connection.
It waits for the end of the first one, then for the event that says the machine runs again.
The socket has to be a blocking one, for its mode is shared.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# A stop flushes every disk first, which takes long where the host is busy.
_SECONDS = 60


@contextmanager
def kept_open(descriptor: int) -> Iterator[None]:
    """Hold a socket open inside the block, and until the machine runs if this process dies there."""
    watch = f"read -r _; exec timeout {_SECONDS} grep -qm1 RESUME <&{descriptor}"
    process = subprocess.Popen(
        ["bash", "-c", watch],  # dash knows no descriptor above 9
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,  # whoever kills our group does not mean the machine
    )
    try:
        yield
    finally:
        process.kill()
        process.communicate()
