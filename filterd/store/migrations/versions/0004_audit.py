"""Messages drawn at random to be labelled, and what messages are written in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Nothing of before was drawn."""
    op.add_column("verdict", sa.Column("script", sa.String(length=8), nullable=False, server_default=""))
    op.add_column("verdict", sa.Column("is_audit", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_verdict_audit",
        "verdict",
        ["received_at"],
        sqlite_where=sa.text("is_audit = 1"),
        postgresql_where=sa.text("is_audit"),
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_verdict_audit", table_name="verdict")
    op.drop_column("verdict", "is_audit")
    op.drop_column("verdict", "script")
