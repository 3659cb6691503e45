"""Parts of vaults have a stamp, drawn anew with each change by the database itself.

Triggers draw it and not our writers: so it is no writer's to forget, neither a node's of an older Bascule
that has the catalog open still, nor a person's at the database. It is drawn by lot and not counted: a
catalog that is brought back from a copy, or goes on at a replica that has not heard of the last writes,
would count to the same numbers again over other rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_PARTS = {"bascule_items": "'item'", "bascule_jobs": "'job'", "bascule_shelves": "{row}.kind"}
"""The parts that rows of a table are of."""
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
"""What an event is about: a row that moves changes where it was and where it is."""


def upgrade() -> None:
    """Give what is there its stamps, and have all changes draw new ones."""
    op.create_table(
        "bascule_stamps",
        sa.Column("vault", sa.Text, primary_key=True),
        sa.Column("part", sa.Text, primary_key=True),
        sa.Column("stamp", sa.Text, nullable=False),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    lot = "lower(hex(randomblob(16)))" if is_sqlite else "gen_random_uuid()"
    for table, part in _PARTS.items():
        there = f"SELECT DISTINCT vault, {part.format(row=table)} AS part FROM {table}"
        op.execute(_drawn(there, lot))
        for event, rows in _ROWS.items():
            changed = " UNION ".join(
                f"SELECT {row}.vault AS vault, {part.format(row=row)} AS part" for row in rows
            )
            make = _trigger_of_sqlite if is_sqlite else _trigger_of_postgres
            for statement in make(table, event, _drawn(changed, lot)):
                op.execute(statement)


def _drawn(changed: str, lot: str) -> str:
    return (
        f"INSERT INTO bascule_stamps (vault, part, stamp) SELECT vault, part, {lot} FROM ({changed}) AS rows"
        " WHERE true ON CONFLICT (vault, part) DO UPDATE SET stamp = excluded.stamp"
    )


def _trigger_of_sqlite(table: str, event: str, drawn: str) -> tuple[str, ...]:
    name = f"{table}_{event.lower()}_stamps"
    return (f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW BEGIN {drawn}; END",)


def _trigger_of_postgres(table: str, event: str, drawn: str) -> tuple[str, ...]:
    name = f"{table}_{event.lower()}_stamps"
    body = f"$$ BEGIN {drawn}; RETURN NULL; END $$"
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body}",
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    )
