"""Feedback that outlives its verdict and is remembered; what a verdict rested on; what the model read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_VERDICT = (("policy", ""), ("reports", "[]"), ("evidence", "[]"), ("signals", "[]"))
_FEEDBACK = (("revoked_by", ""), ("fingerprint", ""), ("sender_key", ""), ("recipients", "[]"), ("model", ""))


def upgrade() -> None:
    """Forward. Fingerprints of before were of another kind: no label of before is remembered as a near-duplicate."""
    for name, empty in _VERDICT:
        op.add_column("verdict", sa.Column(name, sa.Text(), nullable=False, server_default=empty))
    op.add_column("verdict", sa.Column("correction", sa.Float(53), nullable=False, server_default="0"))
    for name, empty in _FEEDBACK:
        op.add_column("feedback", sa.Column(name, sa.Text(), nullable=False, server_default=empty))
    op.add_column("feedback", sa.Column("channel", sa.String(length=8), nullable=False, server_default="email"))
    op.add_column("feedback", sa.Column("is_for_all", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("feedback", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    # SQLite adds no column that must not be empty without a default, and changes none later.
    changed = sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default="1970-01-01 00:00:00")
    op.add_column("feedback", changed)
    op.execute("UPDATE feedback SET changed_at = COALESCE(revoked_at, given_at)")
    verdict = "FROM verdict WHERE verdict.id = feedback.message_id ORDER BY part LIMIT 1"
    for name in ("sender_key", "model", "channel"):
        op.execute(f"UPDATE feedback SET {name} = COALESCE((SELECT {name} {verdict}), {name})")  # noqa: S608  # our names
    op.create_index(op.f("ix_feedback_changed_at"), "feedback", ["changed_at"])
    op.create_table(
        "scanned",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hashing", sa.String(length=12), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_scanned")),
    )
    op.create_index(op.f("ix_scanned_received_at"), "scanned", ["received_at"])
    op.create_table(
        "disagreement",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("candidate", sa.String(length=128), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("candidate_probability", sa.Float(53), nullable=False),
        sa.Column("incumbent", sa.Text(), nullable=False),
        sa.Column("incumbent_probability", sa.Float(53), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "candidate", name=op.f("pk_disagreement")),
    )
    op.create_index(op.f("ix_disagreement_seen_at"), "disagreement", ["seen_at"])


def downgrade() -> None:
    """Back."""
    op.drop_table("disagreement")
    op.drop_table("scanned")
    op.drop_index(op.f("ix_feedback_changed_at"), table_name="feedback")
    for name in ("changed_at", "retired_at", "is_for_all", "channel", *(name for name, _ in _FEEDBACK)):
        op.drop_column("feedback", name)
    for name in ("correction", *(name for name, _ in _VERDICT)):
        op.drop_column("verdict", name)
