"""Files that only their owner may read, and that take nobody's place."""

from __future__ import annotations

import os
from pathlib import Path

from bascule.model.errors import Exists, Unavailable


def write_secret(file: Path, data: bytes) -> None:
    """Make a file that is not there yet."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Exists(f"{file} is there already", cure="name another file") from error
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}") from error
    with open(descriptor, "wb") as stream:
        stream.write(data)
