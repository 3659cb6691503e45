"""Both ends of replications in one file, which outlives the processes that command them.

It keeps the port's promises and moves no bytes: points are numbers, machines are rows. What it was ordered is
written down with what it did, so that a test can tell what happened outside and how often.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bascule.model.errors import Fenced, Missing, Refused, Unavailable
from bascule.ports.sites import Order, Purpose, RecoveryPoint

_TABLES = """
CREATE TABLE IF NOT EXISTS effects (token TEXT PRIMARY KEY, item TEXT, verb TEXT, answer TEXT);
CREATE TABLE IF NOT EXISTS seen (item TEXT PRIMARY KEY, generation INTEGER, turn INTEGER);
CREATE TABLE IF NOT EXISTS machines (item TEXT, purpose TEXT, point TEXT, PRIMARY KEY (item, purpose));
CREATE TABLE IF NOT EXISTS points (item TEXT, number INTEGER, PRIMARY KEY (item, number));
CREATE TABLE IF NOT EXISTS related (item TEXT PRIMARY KEY, is_fenced INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS marks (item TEXT, mark TEXT, PRIMARY KEY (item, mark));
CREATE TABLE IF NOT EXISTS faults (verb TEXT PRIMARY KEY, family TEXT, message TEXT);
"""
_POINTS = (1, 2, 3)


def _mark(name: str) -> str:
    return f"INSERT OR IGNORE INTO marks VALUES (:item, '{name}')"


def _unmark(*names: str) -> str:
    which = ", ".join(f"'{name}'" for name in names)
    return f"DELETE FROM marks WHERE item = :item AND mark IN ({which})"


def _nobody(_verb: str, _token: str, _moment: str) -> None:
    """Interrupt nothing."""


class FakeSites:
    """A source and a recovery site. ``interrupt`` is called around each effect, and may not return.

    ``home`` and ``away`` are the two as a machine sees them that has gone over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.interrupt: Callable[[str, str, str], None] = _nobody
        with self._opened() as world:
            for statement in _TABLES.split(";"):
                world.execute(statement)
        self.home, self.away = FakeHome(self), FakeAway(self)

    def check(self, order: Order) -> None:
        """Refuse if somebody said so."""
        self.stumble("check", order.item)

    def relate(self, order: Order) -> None:
        """Relate the item, whose first copy is done at once."""
        self.do(
            order,
            "relate",
            (
                "INSERT OR IGNORE INTO related (item) VALUES (:item)",
                *(f"INSERT OR IGNORE INTO points VALUES (:item, {number})" for number in _POINTS),
            ),
        )

    def is_seeded(self, order: Order) -> bool:
        """Tell whether the item was related."""
        self.stumble("is_seeded", order.item)
        return bool(self.rows("SELECT 1 FROM related WHERE item = ?", order.item))

    def settle(self, order: Order) -> None:
        """Settle nothing."""
        self.do(order, "settle")

    def resync(self, order: Order) -> int:
        """Resynchronise at once."""
        self.do(order, "resync")
        return 1

    def is_equal(self, order: Order, resync: int) -> bool:
        """Tell that the sides are equal."""
        self.stumble("is_equal", order.item)
        return resync == 1

    def follow(self, order: Order) -> str:
        """Follow any policy."""
        return self.do(order, "follow")

    def unrelate(self, order: Order) -> None:
        """Forget the relationship."""
        self.do(order, "unrelate", ("DELETE FROM related WHERE item = :item",))

    def leave(self, order: Order) -> str:
        """Forget the relationship at once."""
        gone = ("DELETE FROM related WHERE item = :item",)
        return self.do(order, "leave", gone, "the source was passed over")

    def latest_point(self, order: Order) -> str:
        """Return the highest number."""
        self.stumble("latest_point", order.item)
        [(number,)] = self.rows("SELECT MAX(number) FROM points WHERE item = ?", order.item)
        if number is None:
            raise Missing(f"{order.item} has no point")
        return f"{order.item}/{number}"

    def points(self, order: Order) -> tuple[RecoveryPoint, ...]:
        """Return all numbers, the highest first."""
        rows = self.rows("SELECT number FROM points WHERE item = ? ORDER BY number DESC", order.item)
        return tuple(RecoveryPoint(f"{order.item}/{number}", 0.0, "crash") for (number,) in rows)

    def fence(self, order: Order) -> None:
        """Fence the source."""
        self.do(order, "fence", ("UPDATE related SET is_fenced = 1 WHERE item = :item",))

    def start(self, order: Order, point: str, purpose: Purpose, network: str | None = None) -> str:
        """Start a machine; two of one kind are what must never be."""
        number = point.rpartition("/")[2]
        if not self.rows("SELECT 1 FROM points WHERE item = ? AND number = ?", order.item, number):
            raise Missing(f"there is no point {point}", cure="choose one of the list")
        return self.do(
            order,
            f"start {purpose}" if network is None else f"start {purpose} in {network or 'no network'}",
            (f"INSERT INTO machines VALUES (:item, '{purpose}', '{order.item}/{number}')",),
            f"{order.item}-{purpose}",
        )

    def remove(self, order: Order, purpose: Purpose) -> None:
        """Take a machine away."""
        self.do(
            order,
            f"remove {purpose}",
            (f"DELETE FROM machines WHERE item = :item AND purpose = '{purpose}'",),
        )

    def let_go(self, order: Order) -> None:
        """Take the fence away, and what was handed over back."""
        unfence = "UPDATE related SET is_fenced = 0 WHERE item = :item"
        self.do(order, "let_go", (unfence, _unmark("off at home")))

    def keep_only(self, order: Order) -> None:
        """Keep the point that the machine stands on."""
        stands = "SELECT 1 FROM machines m WHERE m.item = :item AND m.point = :item || '/' || points.number"
        self.do(order, "keep_only", (f"DELETE FROM points WHERE item = :item AND NOT EXISTS ({stands})",))

    def reshape(self, order: Order, settings: str) -> None:
        """Keep nothing."""
        self.do(order, f"reshape {settings}")

    def forget(self, order: Order) -> None:
        """Remove all that is left of an item on the recovery side."""
        self.do(
            order,
            "forget",
            (
                "DELETE FROM points WHERE item = :item",
                "DELETE FROM machines WHERE item = :item",
                "DELETE FROM marks WHERE item = :item",
            ),
        )

    def hand_over(self, order: Order) -> None:
        """Shut the machine down at home."""
        self.do(order, "shut down", (_mark("off at home"),))

    def look(self, order: Order) -> None:
        """Be in touch, unless somebody said otherwise."""
        self.stumble("look", order.item)

    def fail(self, verb: str, family: str = "", message: str = "it does not answer") -> None:
        """Let a verb be Unavailable or Refused from now on; without a family it works again."""
        with self._opened() as world:
            world.execute("DELETE FROM faults WHERE verb = ?", (verb,))
            if family:
                world.execute("INSERT INTO faults VALUES (?, ?, ?)", (verb, family, message))

    def effects(self, item: str) -> list[str]:
        """Return what was done for an item, in order."""
        return [
            str(verb) for (verb,) in self.rows("SELECT verb FROM effects WHERE item = ? ORDER BY rowid", item)
        ]

    def standing(self, item: str) -> dict[str, object]:
        """Return what there is of an item outside of the vault."""
        return {
            "machines": self.rows("SELECT purpose, point FROM machines WHERE item = ? ORDER BY 1", item),
            "points": [n for (n,) in self.rows("SELECT number FROM points WHERE item = ? ORDER BY 1", item)],
            "marks": [m for (m,) in self.rows("SELECT mark FROM marks WHERE item = ? ORDER BY 1", item)],
            "related": self.rows("SELECT is_fenced FROM related WHERE item = ?", item),
        }

    def rows(self, query: str, *values: str) -> list[tuple[object, ...]]:
        """Return the rows of a question."""
        with self._opened() as world:
            return world.execute(query, values).fetchall()

    def do(self, order: Order, verb: str, statements: tuple[str, ...] = (), answer: str = "") -> str:
        """Do something once, and return what it returned."""
        with self._opened() as world:
            done = self._known(world, order)
        if done is not None:
            return done
        self.stumble(verb, order.item)
        self.interrupt(verb, order.token, "before")
        with self._opened() as world:
            if self._known(world, order) is None:
                for statement in statements:
                    world.execute(statement, {"item": order.item})
                values = (order.token, order.item, verb, answer)
                world.execute("INSERT INTO effects VALUES (?, ?, ?, ?)", values)
        self.interrupt(verb, order.token, "after")
        return answer

    def _known(self, world: sqlite3.Connection, order: Order) -> str | None:
        last = world.execute("SELECT generation, turn FROM seen WHERE item = ?", (order.item,)).fetchone()
        if last is not None and last > (order.generation, order.turn):
            raise Fenced(f"{order.item} was given later orders than {order.token}")
        seen = (order.item, order.generation, order.turn)
        world.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", seen)
        found = world.execute("SELECT answer FROM effects WHERE token = ?", (order.token,)).fetchone()
        return None if found is None else str(found[0])

    def stumble(self, verb: str, item: str) -> None:
        """Raise what somebody said that a verb ends with."""
        for family, message in self.rows("SELECT family, message FROM faults WHERE verb = ?", verb):
            raise (Unavailable if family == "unavailable" else Refused)(f"{item}: {message}")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as world:
            # What is in it only has to outlive processes, not the power.
            world.execute("PRAGMA synchronous=OFF")
            world.execute("BEGIN IMMEDIATE")
            try:
                yield world
            except BaseException:
                world.execute("ROLLBACK")
                raise
            world.execute("COMMIT")


class FakeHome:
    """What a machine comes home to."""

    def __init__(self, sites: FakeSites) -> None:
        self._sites = sites

    def check(self, order: Order) -> None:
        """Refuse if somebody said so."""
        self._sites.stumble("check home", order.item)

    def level(self, order: Order) -> None:
        """Make disks equal at once."""
        self._sites.do(order, "level", (_mark("new disks"),))

    def come_home(self, order: Order, *, whole: bool) -> str:
        """Start the machine at home; it and the one over there must never both work."""
        if not self._sites.rows("SELECT 1 FROM marks WHERE item = ? AND mark = 'off away'", order.item):
            raise Refused(f"{order.item} works on the recovery side")
        verb = f"come home {'whole' if whole else 'by changes'}"
        return self._sites.do(order, verb, (_mark("new disks"), _mark("back")), f"{order.item}/9")

    def give_up(self, order: Order) -> None:
        """Take a failback away."""
        self._sites.do(order, "give up", (_unmark("new disks", "back"),))

    def keep(self, order: Order) -> None:
        """Let it stay."""
        self._sites.do(order, "keep", (_unmark("new disks"),))

    def relate_again(self, order: Order) -> None:
        """Replicate from home again."""
        again = "INSERT OR REPLACE INTO related (item) VALUES (:item)"
        self._sites.do(order, "relate again", (again, _unmark("back", "off at home")))


class FakeAway:
    """The recovery side while a machine works there."""

    def __init__(self, sites: FakeSites) -> None:
        self._sites = sites

    def relate_back(self, order: Order) -> None:
        """Replicate back at once."""
        self._sites.do(order, "relate back", (_mark("replicated back"),))

    def is_seeded_back(self, order: Order) -> bool:
        """Tell whether it was related."""
        return bool(
            self._sites.rows("SELECT 1 FROM marks WHERE item = ? AND mark = 'replicated back'", order.item)
        )

    def follow_back(self, order: Order) -> str:
        """Follow any policy."""
        return self._sites.do(order, "follow back")

    def unrelate_back(self, order: Order) -> None:
        """End it."""
        self._sites.do(order, "unrelate back", (_unmark("replicated back"),))

    def hand_over(self, order: Order) -> None:
        """Shut the machine down."""
        self._sites.do(order, "hand over", (_mark("off away"),))

    def take_back(self, order: Order) -> None:
        """Let the machine run again; it and the one at home must never both work."""
        if self._sites.rows("SELECT 1 FROM marks WHERE item = ? AND mark = 'back'", order.item):
            raise Refused(f"{order.item} works at home")
        self._sites.do(order, "take back", (_unmark("off away"),))

    def release(self, order: Order) -> None:
        """Remove the machine."""
        gone = "DELETE FROM machines WHERE item = :item AND purpose = 'failover'"
        self._sites.do(order, "release", (gone, _unmark("off away", "replicated back")))
