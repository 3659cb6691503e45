"""A PostgreSQL of our own in a folder, by a socket and without a port."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = Path("/usr/lib/postgresql")


class Postgres:
    """``with Postgres() as postgres``: a server that ends with the block; ``database`` makes databases.

    It is a new one, and its folder ends with it; or that of a folder that was one's once.
    """

    def __init__(self, folder: Path | None = None) -> None:
        found = sorted(PROGRAMS.glob("*/bin/initdb"))
        if not found:
            raise FileNotFoundError(f"no PostgreSQL below {PROGRAMS}: run scripts/setup system")
        self._bin = found[-1].parent
        self._is_temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._made = 0

    def __enter__(self) -> Self:
        data = str(self.folder / "data")
        if not Path(data).exists():
            words = ["-A", "trust", "-U", "bascule", "--no-sync", "--no-locale", "-E", "UTF8"]
            self._run("initdb", "-D", data, *words)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
        if self._is_temporary:
            shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """How its clients find it."""
        return {**os.environ, "PGHOST": str(self.folder), "PGUSER": "bascule", "PGDATABASE": "postgres"}

    def ask(self, words: str) -> str:
        """Return what comes of some SQL."""
        return self._run("psql", "-XAtq", "-h", str(self.folder), "-U", "bascule", "-c", words, "postgres")

    def checkpoint(self) -> str:
        """Return from where on a start reads the log; of a server that does not run."""
        lines = self._run("pg_controldata", "-D", str(self.folder / "data")).splitlines()
        return next(line.split()[-1] for line in lines if "REDO location" in line)

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        log, data = str(self.folder / "log"), str(self.folder / "data")
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End it as a lost power would."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def database(self) -> str:
        """Make an empty database and return its URL."""
        self._made += 1
        name = f"bascule{self._made}"
        self._run("createdb", "-h", str(self.folder), "-U", "bascule", name)
        return f"postgresql://bascule@/{name}?host={self.folder}"

    def _run(self, program: str, *words: str) -> str:
        # It refuses to run as root, and so would we in its place.
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [*(become if os.geteuid() == 0 else []), str(self._bin / program), *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=program != "pg_ctl",
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout or ""
