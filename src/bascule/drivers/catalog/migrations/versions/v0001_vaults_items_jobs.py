"""Vaults, items, jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table("bascule_vaults", sa.Column("name", sa.Text, primary_key=True))
    op.create_table(
        "bascule_items",
        sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("vault", "name"),
    )
    op.create_table(
        "bascule_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("vault", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["vault", "item"], ["bascule_items.vault", "bascule_items.id"]),
    )
    alive = sa.text("ended IS NULL")
    op.create_index(
        "bascule_one_job_an_item",
        "bascule_jobs",
        ["vault", "item"],
        unique=True,
        sqlite_where=alive,
        postgresql_where=alive,
    )
    op.create_index("bascule_jobs_by_time", "bascule_jobs", ["vault", "created"])
