"""qemu-nbd and qemu-img as tools of ours.

The order at a start: we listen on a private Unix socket and connect to it before
qemu-nbd exists, then hand it the listening socket (systemd's socket activation)
and close our copy. So there is nothing to poll: either the greeting arrives, or
qemu-nbd gives up, the last copy of the listener closes and the connection breaks.

A small shell holds a pipe from us. When we close it, or die by whatever means, it
ends qemu-nbd and removes the socket's folder. Before the greeting it must be by
SIGKILL: qemu-nbd forgets a SIGTERM that comes while it starts. The session is a new
one, so that Ctrl-C reaches us alone and images are closed in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bascule.blocks.cut import BLOCK
from bascule.model.errors import BasculeError, Missing, Refused, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client

from .faults import fault, translated
from .raw import make_name_durable

_GUARD: Final = """
home=$1; shift
LISTEN_FDS=1; export LISTEN_FDS
sh -c 'LISTEN_PID=$$; export LISTEN_PID; exec "$@" 3<&1 >/dev/null' sh "$@" 2>"$home/log" &
server=$!
exec >/dev/null 2>&1
if read -r ready; then
    read -r ended
    kill "$server"
else
    kill -KILL "$server"
fi
wait "$server"
rm -rf -- "$home"
"""
# Closing an image writes what the page cache still holds of it.
_CLOSING_SECONDS: Final = 300.0
_CREATING_SECONDS: Final = 120.0
_COPYING_SECONDS: Final = 24 * 3600.0
_NEW: Final = {
    "qcow2": "preallocation=off",
    "vhdx": "subformat=dynamic",
    "vmdk": "subformat=monolithicSparse",
    # Fixed and of exactly this size: what Azure takes.
    "vpc": "subformat=fixed,force_size=on",
}


class QemuNbd:
    """One image, served by a qemu-nbd of its own on a private socket; it ends with us, or before.

    ``alone`` is the format of an image that is opened without those it may lie on.
    """

    def __init__(
        self, image: Path, options: Sequence[str], contexts: Sequence[str], *, alone: str = ""
    ) -> None:
        self._image = image.absolute()
        self._contexts = tuple(contexts)
        with translated("make a folder for a socket"):
            self._home = Path(tempfile.mkdtemp(prefix="bascule-nbd-"))
        self._address = Address(path=str(self._home / "socket"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            name = _alone(self._image, alone) if alone else str(self._image)
            self.first = self._start(["--persistent", "--shared=0", *options, name])
        except BaseException:
            self.close()
            raise

    def connect(self) -> Client:
        """Open one more connection."""
        return self._named(Client.connect(self._address, contexts=self._contexts))

    def close(self) -> None:
        """End qemu-nbd, which closes the image in order, and wait for it; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_CLOSING_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self, arguments: Sequence[str]) -> Client:
        command = ["sh", "-c", _GUARD, "sh", str(self._home), _tool("qemu-nbd"), *arguments]
        with contextlib.ExitStack() as on_failure:
            with translated(f"listen on {self._address.path}"), socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self._address.path)
                listener.listen(32)
                first = on_failure.enter_context(socket.socket(socket.AF_UNIX))
                first.connect(self._address.path)
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=listener.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            on_failure.pop_all()
        return self._greeted(first, self._process)

    def _greeted(self, first: socket.socket, process: subprocess.Popen[bytes]) -> Client:
        try:
            client = Client.over(first, contexts=self._contexts)
        except BasculeError as error:
            raise self._explained(error) from error
        assert process.stdin is not None
        try:
            process.stdin.write(b"ready\n")
            process.stdin.flush()
        except OSError as error:
            client.close()
            raise fault(error, f"start qemu-nbd for {self._image}") from error
        return self._named(client)

    def _named(self, client: Client) -> Client:
        client.name = str(self._image)
        return client

    def _explained(self, error: BasculeError) -> BasculeError:
        """Say what qemu-nbd said, if it said anything before the connection broke."""
        with contextlib.suppress(OSError):
            words = (self._home / "log").read_text(errors="replace")
            if words.strip():
                return complaint(self._image, words)
        return error


def _alone(image: Path, image_format: str) -> str:
    below = {"driver": "file", "filename": str(image)}
    return "json:" + json.dumps({"driver": image_format, "backing": None, "file": below})


def create_image(path: Path, image_format: str, size: int, on: tuple[str, str] | None = None) -> None:
    """Create an image where none is; its name survives a power cut. ``on``: path and format of one below."""
    with translated(f"create {path}"):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    below = ["-b", on[0], "-F", on[1]] if on else []
    options = ["-q", "-f", image_format, "-o", _NEW[image_format], *below]
    try:
        _run(path, "create", *options, str(path.absolute()), str(size))
        with translated(f"create {path}"):
            make_name_durable(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def describe(path: Path) -> dict[str, Any]:
    """Return what qemu-img knows of an image."""
    found: dict[str, Any] = json.loads(_run(path, "info", "--output=json", str(path.absolute())))
    return found


def add_bitmap(path: Path, name: str) -> None:
    """Have an image record what changes, in the blocks of our maps."""
    _run(path, "bitmap", "--add", "-g", str(BLOCK), str(path.absolute()), name)


def commit_image(path: Path) -> None:
    """Write an image into the one below it, durably; it stays what it is."""
    _run(path, "commit", "-q", "-d", str(path.absolute()), seconds=_COPYING_SECONDS)


def complaint(image: Path, words: str) -> BasculeError:
    """Sort what a tool of QEMU wrote to its error output."""
    text = " ".join(re.sub(r"^qemu-(?:nbd|img): ", "", line) for line in words.strip().splitlines()[-2:])
    if "lock" in text and ("Failed to get" in text or "another process" in text):
        return Refused(
            f"{image} is in use: a running machine or an NBD server has it open",
            cure="stop the machine, or copy from its NBD export instead of the file",
        )
    if "No such file" in text:
        return Missing(f"{image}: {text}", cure="check the path, and those of its backing files")
    if "No space left" in text:
        return Unavailable(f"{image}: {text}", cure="free some space")
    return Refused(f"QEMU cannot open {image}: {text}", cure="try qemu-img info and qemu-img check on it")


def _run(image: Path, *arguments: str, seconds: float = _CREATING_SECONDS) -> str:
    try:
        done = subprocess.run(
            [_tool("qemu-img"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"qemu-img does not finish with {image}", cure="look at its file system") from error
    if done.returncode:
        raise complaint(image, done.stderr.decode(errors="replace") or f"exit code {done.returncode}")
    return done.stdout.decode(errors="replace")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed", cure="install the package qemu-utils, or use raw disks")
    return found
