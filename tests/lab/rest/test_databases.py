"""The shipped scripts with real databases: what stands still between them is a copy that opens and is whole.

The database lies on a file system of its own. Between the scripts that is frozen and its image copied, as
between the scripts in a guest, and another server is started on the copy. R-RP-1.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bascule.model.consent.applications import APPLICATIONS
from lab.waiting import wait_until
from tests.lab.cuts.drives import Drive
from tests.servers.mariadb import MariaDb
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.lab

MIB = 1 << 20
# InnoDB recovers by itself; MyISAM does not, and stands for all that only a lock brings to rest.
TABLES = ("innodb", "myisam")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter too."""
    with tempfile.TemporaryDirectory(prefix="rest-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def consent(script: str, environment: dict[str, str]) -> None:
    words = {"capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, check=False, **words)
    assert done.returncode == 0, done.stdout


@contextmanager
def drive(room: Path, size_bytes: int) -> Iterator[Drive]:
    made = Drive.new(room / "image", room / "mount", size_bytes)
    try:
        yield made
    finally:
        made.leave()


@contextmanager
def instant(drive: Drive, name: str) -> Iterator[Path]:
    """Copy the image of a file system that stands still; yields where the copy is mounted."""
    room = drive.mount.parent
    with drive.standing_still():
        copy = drive.copied(room / f"{name}.image", room / name)
    try:
        yield copy.mount
    finally:
        copy.leave()


class Writer:
    """Writes number after number into all tables, each when the one before was acknowledged."""

    def __init__(self, server: MariaDb) -> None:
        self.acknowledged = 0
        words = ["mariadb", "--batch", "--skip-column-names", "--unbuffered", "shop"]
        self._client = subprocess.Popen(
            words, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        number = 0
        while True:
            number += 1
            inserts = "".join(f"INSERT INTO in_{table} VALUES ({number}); " for table in TABLES)
            try:
                self._client.stdin.write(f"{inserts}SELECT {number};\n")
            except (BrokenPipeError, ValueError):
                return
            if self._client.stdout.readline() != f"{number}\n":
                return
            self.acknowledged = number

    def goes_on(self) -> None:
        last = self.acknowledged
        wait_until(lambda: self.acknowledged > last + 1, 60)

    def close(self) -> None:
        self._client.kill()
        self._client.wait()
        self._thread.join()


def complaints(server: MariaDb) -> list[str]:
    """Return what is wrong with tables as they are found, before anything mends them."""
    rows = server.ask("CHECK TABLE shop.in_innodb, shop.in_myisam FAST QUICK")
    return [f"{table}: {text}" for table, _, kind, text in rows if kind != "status" or text not in _WELL]


_WELL = ("OK", "Table is already up to date")


def test_a_database_of_mariadb_stands_still_for_the_instant_and_writes_on_after_it(room: Path) -> None:
    with drive(room, 400 * MIB) as disk, MariaDb(disk.mount) as server:
        server.ask("CREATE DATABASE shop")
        for table in TABLES:
            server.ask(f"CREATE TABLE shop.in_{table} (number INT PRIMARY KEY) ENGINE={table}")
        environment = server.environment | {"BASCULE_RUN": str(room)}
        with closing(Writer(server)) as writer:
            writer.goes_on()
            with instant(disk, "without") as without:
                consent(APPLICATIONS["mariadb"].before, environment)
                begun = writer.acknowledged
                with instant(disk, "consented") as consented:
                    assert writer.acknowledged == begun, "nobody writes"
                    consent(APPLICATIONS["mariadb"].after, environment)
                    writer.goes_on()
                    with MariaDb(consented) as copy:
                        assert complaints(copy) == []
                        for table in TABLES:
                            numbers = [int(row) for (row,) in copy.ask(f"SELECT number FROM shop.in_{table}")]
                            assert sorted(numbers) == list(range(1, len(numbers) + 1))
                            assert len(numbers) - begun in (0, 1), "one may be done and not acknowledged"
                with MariaDb(without) as copy:
                    assert complaints(copy) != [], "without consent there is something to mend"


def test_a_database_of_postgresql_has_a_checkpoint_in_its_copy_that_leaves_nothing_to_recover(
    room: Path,
) -> None:
    with drive(room, 400 * MIB) as disk:
        subprocess.run(["chown", "postgres", disk.mount], check=True)
        with Postgres(disk.mount) as server:
            server.ask("CREATE TABLE ledger AS SELECT * FROM generate_series(1, 1000) AS number")
            written = server.ask("SELECT pg_current_wal_lsn()")
            with instant(disk, "without") as without:
                consent(APPLICATIONS["postgresql"].before, server.environment)
                with instant(disk, "consented") as consented:
                    assert found_in(consented, written) == ("1000", "t")
                assert found_in(without, written) == ("1000", "f"), "it had to be recovered from the log"


def found_in(place: Path, written: str) -> tuple[str, str]:
    """Open a copy; return how many rows it has, and if they were all in it before its log was looked at."""
    for lock in (place / "data" / "postmaster.pid", place / ".s.PGSQL.5432.lock"):
        lock.unlink()  # of a process that another machine does not have
    copy = Postgres(place)
    began_at = copy.checkpoint()
    with copy:
        rows = copy.ask("SELECT count(*) FROM ledger").strip()
        return rows, copy.ask(f"SELECT '{began_at}'::pg_lsn >= '{written.strip()}'::pg_lsn").strip()
