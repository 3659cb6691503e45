"""Shipped commands that ready a database in a guest for an instant (R-RP-1).

They are scripts for the guest's own shell, run by its agent as root before its file systems are frozen, and
after they are thawed. What ``before`` takes it gives back by itself soon, whoever dies: one that is asked
for nothing more must leave a database that works.

PostgreSQL: a checkpoint, so that what the point holds is up to date and its recovery is short. A database
that does not answer, or is not the one that the guest's ``postgres`` reaches, fails it.

MySQL and MariaDB: all tables are flushed and locked for reading by a session of its own, which lets go when
``after`` says so, or after 20 seconds. ``after`` fails if it was not there any more: then something may have
been written during the instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import Refused


@dataclass(frozen=True, slots=True)
class Application:
    """What is run in the guest before and after an instant, as scripts of ``sh``."""

    before: str
    after: str = ""


_POSTGRESQL = """
runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c 'CHECKPOINT' 2>&1
"""

_MYSQL_BEFORE = """
place=${BASCULE_RUN:-/run}/bascule-mysql
client=$(command -v mariadb || command -v mysql) || { echo "neither mariadb nor mysql is here"; exit 1; }
rm -f $place.*
(
    exec < /dev/null > /dev/null 2>&1
    {
        echo "SET SESSION lock_wait_timeout = 5; FLUSH TABLES WITH READ LOCK; SELECT 'locked';"
        n=0
        while [ $n -lt 200 ] && [ ! -e $place.end ] && [ ! -e $place.code ]; do sleep 0.1; n=$((n + 1)); done
    } | {
        "$client" --batch --skip-column-names --unbuffered > $place.said 2>&1
        echo $? > $place.code
    }
) &
n=0
while [ $n -lt 100 ]; do
    grep -q '^locked$' $place.said 2> /dev/null && exit 0
    [ -e $place.code ] && break
    sleep 0.1; n=$((n + 1))
done
touch $place.end
echo "the tables are not locked:"; cat $place.said
exit 1
"""

_MYSQL_AFTER = """
place=${BASCULE_RUN:-/run}/bascule-mysql
[ -e $place.said ] || { echo "nothing was locked"; exit 1; }
if [ -e $place.code ]; then echo "the tables were not locked any more"; cat $place.said; exit 1; fi
touch $place.end
n=0
while [ $n -lt 50 ] && [ ! -e $place.code ]; do sleep 0.1; n=$((n + 1)); done
[ -e $place.code ]
"""

APPLICATIONS = {
    "postgresql": Application(_POSTGRESQL),
    "mysql": Application(_MYSQL_BEFORE, _MYSQL_AFTER),
    "mariadb": Application(_MYSQL_BEFORE, _MYSQL_AFTER),
}


def application(words: str) -> tuple[str, Application]:
    """Return of ``NAME``, or ``MACHINE=NAME``, the machine that has it (empty: all), and what it is."""
    machine, _, name = words.rpartition("=")
    if name not in APPLICATIONS:
        raise Refused(
            f"{words!r} names no application that Bascule has commands for",
            cure=f"choose of {', '.join(APPLICATIONS)}; or give commands of your own: --before, --after",
        )
    return machine, APPLICATIONS[name]


def applications_of(machine: str, words: Sequence[str]) -> list[Application]:
    """Return what is said to run in a machine."""
    found = [application(each) for each in words]
    return [each for owner, each in found if owner in ("", machine)]
