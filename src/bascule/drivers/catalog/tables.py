"""The tables as the newest migration leaves them; a test compares the two.

Columns are what is searched, sorted and guarded by; the rest of a noun is a document beside them.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

VAULTS = sa.Table(
    "bascule_vaults",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False, server_default="{}"),
)

ITEMS = sa.Table(
    "bascule_items",
    METADATA,
    sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("vault", "name"),
)

JOBS = sa.Table(
    "bascule_jobs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("vault", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["vault", "item"], ["bascule_items.vault", "bascule_items.id"]),
)

SHELVES = sa.Table(
    "bascule_shelves",
    METADATA,
    sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

STAMPS = sa.Table(
    "bascule_stamps",
    METADATA,
    sa.Column("vault", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("stamp", sa.Text, nullable=False),
)
"""Written by triggers of the database (migration 0005). They outlive a vault, whose name may come again."""

_COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")

EVENTS = sa.Table(
    "bascule_events",
    METADATA,
    sa.Column("number", _COUNTED, primary_key=True, autoincrement=True),
    sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("health", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("cure", sa.Text, nullable=False),
)

DEEDS = sa.Table(
    "bascule_deeds",
    METADATA,
    sa.Column("number", _COUNTED, primary_key=True, autoincrement=True),
    sa.Column("vault", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

_ALIVE = sa.text("ended IS NULL")
sa.Index(
    "bascule_one_job_an_item",
    JOBS.c.vault,
    JOBS.c.item,
    unique=True,
    sqlite_where=_ALIVE,
    postgresql_where=_ALIVE,
)
sa.Index("bascule_jobs_by_time", JOBS.c.vault, JOBS.c.created)
sa.Index("bascule_events_by_number", EVENTS.c.vault, EVENTS.c.number)
sa.Index("bascule_events_by_time", EVENTS.c.at)
sa.Index("bascule_deeds_by_number", DEEDS.c.vault, DEEDS.c.number)
