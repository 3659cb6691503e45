"""How a server of vaults is to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SOCKET = "local.sock"
"""The name in a server's folder at which its owner's commands are taken."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``postgres`` is empty for a catalog in the folder; ``addresses`` are where hosts find the door.

    ``mail`` is who takes mail of ours, its sender, and our name and password there.

    ``names`` are what else clients call the API by than this machine's name and addresses of its own;
    ``certificate`` and ``key`` are the files of one for the API that is not of the server's own authority.
    """

    folder: Path
    postgres: str = ""
    listen: str = "0.0.0.0:9444"
    local: str = "127.0.0.1:9445"
    addresses: tuple[str, ...] = ()
    api: str = "0.0.0.0:9446"
    names: tuple[str, ...] = ()
    mail: tuple[str, str, str, str] = field(default=("", "bascule@localhost", "", ""), repr=False)
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that runs: where hosts come in, where this machine looks, and where the API is.

    ``fingerprint`` is what a client may know the API by that comes for the first time. ``first`` is the file
    with the secret of the first service principal, if that was made just now.
    """

    door: str
    local: str
    authority: str
    api: str
    fingerprint: str
    first: Path | None = None
