"""The images of a running QEMU, and the fleeces beside them, as files of this host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bascule.model.errors import Unavailable


@contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """Say of an error of the host's files that the folder for fleeces is not fit, and what to do."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{folder} cannot take what the machine overwrites: {error.strerror}",
            cure="make room there, or name another folder",
        ) from error


class WriteBack:
    """Has the host write out what it holds of images, while they are being copied.

    QEMU flushes a disk when its filter is removed, and its guest stands still until that is
    done: half a second after 64 MiB of writes. What is on the disk by then costs nothing.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._threads = [threading.Thread(target=_write_out, args=(file,), daemon=True) for file in files]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until all is written."""
        for thread in self._threads:
            thread.join()


def _write_out(file: str) -> None:
    # A favour: where the image is no file of this host, or cannot be written, QEMU's own flush finds out.
    with suppress(OSError):
        handle = os.open(Path(file), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
