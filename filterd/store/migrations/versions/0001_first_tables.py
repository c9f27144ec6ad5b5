"""Verdicts, held messages, feedback, SMS, tokens and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_target"), "audit", ["target"], unique=False)
    op.create_table(
        "feedback",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=8), nullable=False),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index(op.f("ix_feedback_given_at"), "feedback", ["given_at"], unique=False)
    op.create_index(
        "uq_feedback_active",
        "feedback",
        ["message_id", "reporter"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "held",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("retry_key", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("probability", sa.Float(precision=53), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held")),
        sa.UniqueConstraint("retry_key", name=op.f("uq_held_retry_key")),
    )
    op.create_index(op.f("ix_held_message_id"), "held", ["message_id"], unique=False)
    op.create_index(op.f("ix_held_received_at"), "held", ["received_at"], unique=False)
    op.create_index(op.f("ix_held_recipient_key"), "held", ["recipient_key"], unique=False)
    op.create_index(op.f("ix_held_sender_key"), "held", ["sender_key"], unique=False)
    op.create_index(op.f("ix_held_state_id"), "held", ["state", "id"], unique=False)
    op.create_table(
        "sms_message",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_message")),
    )
    op.create_index(
        op.f("ix_sms_message_provider_sender_key_recipient_key_reference"),
        "sms_message",
        ["provider", "sender_key", "recipient_key", "reference"],
        unique=False,
    )
    op.create_index(op.f("ix_sms_message_recipient_key"), "sms_message", ["recipient_key"], unique=False)
    op.create_index(op.f("ix_sms_message_sender_key"), "sms_message", ["sender_key"], unique=False)
    op.create_index(op.f("ix_sms_message_state_due_at"), "sms_message", ["state", "due_at"], unique=False)
    op.create_table(
        "token",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_token")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_token_secret_sha256")),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reply_code", sa.Integer(), nullable=False),
        sa.Column("is_ambiguous", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Float(precision=53), nullable=True),
        sa.Column("logit", sa.Float(precision=53), nullable=True),
        sa.Column("threshold", sa.Float(precision=53), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("elapsed_seconds", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", "part", name=op.f("pk_verdict")),
    )
    op.create_index(op.f("ix_verdict_received_at"), "verdict", ["received_at"], unique=False)
    op.create_index(op.f("ix_verdict_recipient_key"), "verdict", ["recipient_key"], unique=False)
    op.create_index(op.f("ix_verdict_sender_key"), "verdict", ["sender_key"], unique=False)
    op.create_table(
        "held_retry",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("held_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["held_id"], ["held.id"], name=op.f("fk_held_retry_held_id_held"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("message_id", "held_id", name=op.f("pk_held_retry")),
    )
    op.create_index(op.f("ix_held_retry_held_id"), "held_retry", ["held_id"], unique=False)
    op.create_table(
        "sms_part",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["sms_message.id"], name=op.f("fk_sms_part_message_id_sms_message"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider", "provider_id", name=op.f("pk_sms_part")),
    )
    op.create_index(op.f("ix_sms_part_message_id"), "sms_part", ["message_id"], unique=False)


def downgrade() -> None:
    """Back."""
    op.drop_table("sms_part")
    op.drop_table("held_retry")
    op.drop_table("verdict")
    op.drop_table("token")
    op.drop_table("sms_message")
    op.drop_table("held")
    op.drop_table("feedback")
    op.drop_table("audit")
