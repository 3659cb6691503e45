"""Shelves of small nouns, events, deeds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables of what a vault holds beside items and jobs."""
    op.create_table(
        "bascule_shelves",
        sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "bascule_events",
        sa.Column("number", _COUNTED, primary_key=True, autoincrement=True),
        sa.Column("vault", sa.Text, sa.ForeignKey("bascule_vaults.name"), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        *(_words("subject", "code", "health", "message", "cure")),
    )
    op.create_table(
        "bascule_deeds",
        sa.Column("number", _COUNTED, primary_key=True, autoincrement=True),
        sa.Column("vault", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        *(_words("who", "what", "subject", "code", "detail")),
    )
    op.create_index("bascule_events_by_number", "bascule_events", ["vault", "number"])
    op.create_index("bascule_events_by_time", "bascule_events", ["at"])
    op.create_index("bascule_deeds_by_number", "bascule_deeds", ["vault", "number"])


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
