"""A MariaDB of our own in a folder, by a socket and without a port."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.children import Child

_SMALL = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-log-bin")


class MariaDb:
    """``with MariaDb(folder) as server``: over the database that is in the folder, or a new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"

    def __enter__(self) -> Self:
        if not self._data.exists():
            words = [
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--user=root",
            ]
            _run("mariadb-install-db", *words, f"--datadir={self._data}", *_SMALL)
        place = [
            f"--datadir={self._data}",
            f"--socket={self.folder / 'socket'}",
            "--pid-file=pid",
            "--user=root",
        ]
        self._child = Child(
            ["mariadbd", "--no-defaults", *place, "--skip-networking", *_SMALL],
            r"Version: '(\d+)",  # it has no port to tell; this is said when it is ready for connections
            cwd=self.folder,
        )
        assert self._child.port
        (self.folder / ".my.cnf").write_text(f"[client]\nuser = root\nsocket = {self.folder / 'socket'}\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._child.kill()

    @property
    def environment(self) -> dict[str, str]:
        """How its clients find it."""
        return {**os.environ, "HOME": str(self.folder)}

    def ask(self, words: str) -> list[list[str]]:
        """Return the rows that come of some SQL."""
        said = _run("mariadb", "--batch", "--skip-column-names", "-e", words, env=self.environment)
        return [line.split("\t") for line in said.splitlines()]


def _run(program: str, *words: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([program, *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
