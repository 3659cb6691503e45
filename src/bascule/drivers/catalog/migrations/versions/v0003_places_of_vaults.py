"""Vaults say where they belong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Give vaults a document; those that are there belong where vaults do of which nobody said more."""
    op.add_column("bascule_vaults", sa.Column("document", sa.Text, nullable=False, server_default="{}"))
