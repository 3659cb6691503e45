"""Point servers as processes of their own: whoever starts one may end, and the guest notices nothing.

A folder is served where somebody accepts connections on its socket, and who that is says the kernel
(SO_PEERCRED). So no file has to be believed that a dead process left.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from bascule.data.instant.local.folder import make_durably
from bascule.data.store import Vault
from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import BasculeError, Damaged, Refused, Unavailable
from bascule.ports.serving import Served

_LOOK_SECONDS = 0.02
_STOP_SECONDS = 120
_SAYS, _CURES = "bascule: ", "what to do: "  # of errors on a command line
_SOCKET_MAX = 107  # bytes, as the kernel has it
_FAMILIES = {family.exit_code: family for family in (Refused, Unavailable, Damaged)}


class PointServers:
    """See ``ports.serving.Serving``. ``store`` is how a command line names the store and its key."""

    def __init__(self, store: Sequence[str], open_vault: Callable[[], Vault]) -> None:
        self._store = list(store)
        self._open_vault = open_vault

    def words(self, folder: Path, disk: str) -> str:
        """See Serving."""
        return f"nbd+unix:///{disk}?socket={_socket_in(folder)}"

    def start(self, served: Served) -> None:
        """See Serving."""
        if self.is_up(served.folder):
            return
        place = _socket_in(served.folder)
        make_durably(served.folder)
        log = served.folder / "log"
        log.touch(mode=0o600)
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "bascule.apps.point_server", *self._words_for(served, place)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        while not self.is_up(served.folder):
            with suppress(subprocess.TimeoutExpired):
                raise _ended(process.wait(_LOOK_SECONDS), log, served)

    def _words_for(self, served: Served, place: Path) -> list[str]:
        store, *key = self._store
        words = [store, f"{served.group}/{served.number}", "--machine", served.machine]
        words += ["--folder", str(served.folder), "--socket", str(place), "--writable"]
        return [*words, *(["--hydrate"] if served.hydrate else []), *key]

    def is_up(self, folder: Path) -> bool:
        """See Serving."""
        return _server_of(folder) != 0

    def stop(self, folder: Path) -> None:
        """See Serving."""
        pid = _server_of(folder)
        if not pid:
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not ready(_STOP_SECONDS, [handle]):
                raise Unavailable(
                    f"the point server of {folder} (process {pid}) does not end",
                    cure="see whether its disk or its store hangs",
                )
        finally:
            os.close(handle)

    def throw_away(self, folder: Path) -> None:
        """See Serving."""
        from bascule.data.instant.server import throw_away

        self.stop(folder)
        if folder.exists():
            throw_away(self._open_vault, folder)


def _socket_in(folder: Path) -> Path:
    path = folder.absolute() / "nbd"
    if len(os.fsencode(path)) > _SOCKET_MAX:
        raise Refused(f"{path} is too long for a socket", cure="choose a shorter --folder")
    return path


def _server_of(folder: Path) -> int:
    """Return the process that serves a folder, 0 if none does."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(_socket_in(folder)))
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        pid: int
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid


def _ended(code: int, log: Path, served: Served) -> BasculeError:
    """Say why a server ended before it served."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    said = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
    cures = [line.removeprefix(_CURES) for line in lines if line.startswith(_CURES)]
    why = said[-1] if said else next(filter(None, reversed(lines)), f"exit code {code}")
    family = _FAMILIES.get(code, Unavailable)
    where = f"{served.machine} at {served.group}/{served.number}"
    return family(f"{where} cannot be served: {why}", cure=cures[-1] if cures else "")
