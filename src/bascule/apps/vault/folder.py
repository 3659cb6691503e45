"""A server's folder, which has one server at a time.

server.lock    held by the server that runs, and tells its process number
catalog.db     vaults, items and jobs, unless they are in PostgreSQL
hosts.sqlite   the hosts that joined, what they are to do and what they said; who may sign in at the API,
               and what tokens are signed with; unless all of it is in PostgreSQL
first-principal.json  the secret of the first who may, to be taken away
pki/           the authority that vouches for them; who has it can be the server
local.sock     where the owner's commands are taken while it runs
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.model.errors import Refused, Unavailable

_ROOM_BYTES = 64 << 20


def prepare(folder: Path) -> str:
    """Make the folder for our own user only, and see that there is room; return what was found."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / "server.probe"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise Unavailable(
            f"cannot write in {folder}: {error.strerror or error}",
            cure="name a folder that you may write to, on a disk that has room",
        ) from error
    if free < _ROOM_BYTES:
        raise Unavailable(
            f"{folder} has room for {free >> 20} MiB", cure=f"make room for {_ROOM_BYTES >> 20} MiB at least"
        )
    return f"{free >> 20} MiB are free"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Be the folder's server until the end of the block, or of the process."""
    with (folder / "server.lock").open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Refused(
                f"a server runs in {folder} already: process {file.read(20).decode(errors='replace')}",
                cure="stop that one first, or use it: `bascule vault`",
                code="served-already",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield
