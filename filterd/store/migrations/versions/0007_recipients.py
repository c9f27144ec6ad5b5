"""Whose messages, so that people can be shown their own: recipients of held messages and of verdicts for several."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BATCH = 1_000
_LISTED = ["state", "id", "channel", "received_at", "reason", "probability", "sender_key", "recipient_key", "search"]


def upgrade() -> None:
    """Forward. What is there already is looked through once."""
    op.create_table(
        "held_recipient",
        sa.Column("held_id", sa.String(length=32), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("recipient_domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["held_id"], ["held.id"], name="fk_held_recipient_held_id_held", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("held_id", "recipient_key", name="pk_held_recipient"),
    )
    op.create_table(
        "verdict_recipient",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("recipient_domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["id", "part"], ["verdict.id", "verdict.part"], name="fk_verdict_recipient_id_verdict", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", "part", "recipient_key", name="pk_verdict_recipient"),
    )
    op.add_column("verdict", sa.Column("recipient_domain", sa.Text(), nullable=False, server_default=""))
    _fill_held()
    _fill_verdicts()
    op.create_index("ix_held_recipient_recipient_key_held_id", "held_recipient", ["recipient_key", "held_id"])
    op.create_index("ix_held_recipient_recipient_domain_held_id", "held_recipient", ["recipient_domain", "held_id"])
    op.create_index("ix_verdict_recipient_recipient_key_id", "verdict_recipient", ["recipient_key", "id"])
    op.create_index("ix_verdict_recipient_recipient_domain_id", "verdict_recipient", ["recipient_domain", "id"])
    op.drop_index("ix_verdict_recipient_key", table_name="verdict")
    op.create_index("ix_verdict_recipient_key_id", "verdict", ["recipient_key", "id"])
    op.create_index("ix_verdict_recipient_domain_id", "verdict", ["recipient_domain", "id"])
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_held_listed", "held", _LISTED)


def _fill_held() -> None:
    held = sa.table("held", *map(sa.column, ("id", "sender", "recipients", "recipient_key", "subject", "search")))
    recipient = sa.table("held_recipient", *map(sa.column, ("held_id", "recipient_key", "recipient_domain")))
    for rows in _batches(sa.select(held.c.id, held.c.recipients), held.c.id):
        op.bulk_insert(recipient, [{"held_id": id, **columns} for id, text in rows for columns in _columns(text)])
    # Who looks for a message by one of several recipients must not learn of the others.
    shared = sa.select(held.c.id, held.c.sender, held.c.subject).where(held.c.recipient_key == "")
    for rows in _batches(shared, held.c.id):
        for id, sender, subject in rows:
            search = f"{sender}\n{subject}".lower()
            op.execute(sa.update(held).where(held.c.id == id).values(search=search))


def _fill_verdicts() -> None:
    verdict = sa.table("verdict", *map(sa.column, ("id", "part", "recipients", "recipient_key", "recipient_domain")))
    recipient = sa.table("verdict_recipient", *map(sa.column, ("id", "part", "recipient_key", "recipient_domain")))
    own = (verdict.c.id, verdict.c.part)
    key, is_one = verdict.c.recipient_key, verdict.c.recipient_key.contains("@")
    find = sa.func.instr if op.get_bind().dialect.name == "sqlite" else sa.func.strpos
    domain = sa.func.rtrim(sa.func.substr(key, find(key, "@") + 1), ".")
    op.execute(sa.update(verdict).where(is_one).values(recipient_domain=domain))
    # A quoted local part may have an @ of its own: the domain stands behind the last one.
    quoted = sa.select(*own, key).where(verdict.c.recipient_domain.contains("@"))
    for rows in _batches(quoted, *own):
        for id, part, address in rows:
            this = (verdict.c.id == id, verdict.c.part == part)
            op.execute(sa.update(verdict).where(*this).values(recipient_domain=_domain(address)))
    for rows in _batches(sa.select(*own, verdict.c.recipients).where(key == ""), *own):
        op.bulk_insert(
            recipient, [{"id": id, "part": part, **columns} for id, part, text in rows for columns in _columns(text)]
        )


def _batches(query: sa.Select[Any], *key: sa.ColumnElement[Any]) -> Iterator[list[sa.Row[Any]]]:
    """The rows of ``query`` in lists, in the order of ``key``: its first columns."""
    page = query.order_by(*key).limit(_BATCH)
    rows = op.get_bind().execute(page).all()
    while rows:
        yield list(rows)
        after = sa.tuple_(*key) > tuple(rows[-1][: len(key)])
        rows = op.get_bind().execute(page.where(after)).all()


def _columns(recipients: str) -> list[dict[str, str]]:
    keys = dict.fromkeys(map(_key, json.loads(recipients)))
    return [{"recipient_key": key, "recipient_domain": _domain(key)} for key in keys]


def _key(address: str) -> str:
    """As ``schema.lookup_key`` made it at the time."""
    plain = address.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    key = plain.strip().lower()
    return (key if "@" in key else key.removeprefix("+"))[:254]


def _domain(key: str) -> str:
    return key.rpartition("@")[2].rstrip(".") if "@" in key else ""


def downgrade() -> None:
    """Back. What held messages are found by stays as it is."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_held_listed", table_name="held")
    op.drop_index("ix_verdict_recipient_domain_id", table_name="verdict")
    op.drop_index("ix_verdict_recipient_key_id", table_name="verdict")
    op.create_index("ix_verdict_recipient_key", "verdict", ["recipient_key"])
    op.drop_column("verdict", "recipient_domain")
    op.drop_table("verdict_recipient")
    op.drop_table("held_recipient")
