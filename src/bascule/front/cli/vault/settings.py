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

    ``names`` are what else clients call the API by than this machine's name and addresses of its own.
    """

    folder: Path
    postgres: str = ""
    listen: str = "0.0.0.0:9444"
    local: str = "127.0.0.1:9445"
    addresses: tuple[str, ...] = ()
    api: str = "0.0.0.0:9446"
    names: tuple[str, ...] = ()
    mail: tuple[str, str, str, str] = field(default=("", "bascule@localhost", "", ""), repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that runs: where hosts come in, where this machine looks, and where the API is.

    ``first`` is the file with the secret of the first service principal, if that was made just now.
    """

    door: str
    local: str
    authority: str
    api: str
    first: Path | None = None
