"""Containers, protection groups and settings of the recovery side on their shelves; items name their group.

No table changes. But items have a field that an older Bascule would take for damage, so it is told that the
catalog is newer than it.
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change nothing: what is not in a document has its default."""
