"""Which bundle serves on every host, with its files; and PostgreSQL says when something changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


_FOLLOWED = ("feedback", "rule", "calibration", "model_pointer")
_FUNCTION = """
CREATE FUNCTION filterd_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('filterd_changed', ''); RETURN NULL; END $$
"""
_TRIGGER = """
CREATE TRIGGER filterd_changed AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION filterd_changed()
"""


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "model_pointer",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("previous", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_model_pointer")),
    )
    op.create_table(
        "model_file",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "model", "name", name=op.f("pk_model_file")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        for table in _FOLLOWED:
            op.execute(_TRIGGER.format(table=table))


def downgrade() -> None:
    """Back."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION filterd_changed CASCADE")
    for table in ("model_file", "model_pointer"):
        op.drop_table(table)
