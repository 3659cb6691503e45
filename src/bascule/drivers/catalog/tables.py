"""The tables as the newest migration leaves them; a test compares the two.

Columns are what is searched, sorted and guarded by; the rest of a noun is a document beside them.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

VAULTS = sa.Table("bascule_vaults", METADATA, sa.Column("name", sa.Text, primary_key=True))

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
