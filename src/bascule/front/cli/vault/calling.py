"""The owner's calls to a server that runs, by the socket in its folder."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable

from .settings import SOCKET

_SECONDS = 60.0
_FAMILIES: dict[str, type[BasculeError]] = {
    "unavailable": Unavailable,
    "damaged": Damaged,
    "missing": Missing,
    "refused": Refused,
}


def call(folder: Path, what: str, /, **arguments: object) -> Any:
    """Have the server in a folder do something, and return what it says as JSON has it."""
    line = _Line(folder)
    try:
        line.request("POST", f"/v1/{what}", json.dumps(arguments).encode())
        answer = json.loads(line.getresponse().read())
    except FileNotFoundError as error:
        raise Missing(
            f"{folder} is no server's folder", cure=f"start one: `bascule serve {folder}`"
        ) from error
    except ConnectionRefusedError as error:
        raise Unavailable(
            f"no server runs in {folder}", cure=f"start it: `bascule serve {folder}`"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(
            f"the server in {folder} did not answer: {error}", cure="look into its log, and ask again"
        ) from error
    finally:
        line.close()
    if "error" in answer:
        said = answer["error"]
        kind = _FAMILIES.get(said.get("family", ""), Refused)
        raise kind(said.get("message", ""), cure=said.get("cure", ""), code=said.get("code", ""))
    return answer["value"]


class _Line(HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("server", timeout=_SECONDS)
        self._folder = folder

    def connect(self) -> None:
        """Connect by the folder's descriptor: its path may be longer than a socket's name may be."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_SECONDS)
            made.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        except OSError:
            made.close()
            raise
        finally:
            os.close(folder)
        self.sock = made
