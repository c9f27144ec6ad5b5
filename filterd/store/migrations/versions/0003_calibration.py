"""A site's own calibration of a bundle."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "calibration",
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("scale", sa.Float(53), nullable=False),
        sa.Column("bias", sa.Float(53), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "model", name=op.f("pk_calibration")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("calibration")
