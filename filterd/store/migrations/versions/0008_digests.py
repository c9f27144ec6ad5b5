"""Digests: when people want one, how far they have been told, and the links in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("account", sa.Column("digest", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "digest",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("told_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account"], ["account.name"], name=op.f("fk_digest_account_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_digest")),
    )
    op.create_table(
        "ticket",
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("held", sa.String(length=32), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account"], ["account.name"], name=op.f("fk_ticket_account_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_ticket")),
    )
    op.create_index(op.f("ix_ticket_account"), "ticket", ["account"], unique=False)
    op.create_index(op.f("ix_ticket_expires_at"), "ticket", ["expires_at"], unique=False)


def downgrade() -> None:
    """Back."""
    for table in ("ticket", "digest"):
        op.drop_table(table)
    op.drop_column("account", "digest")
