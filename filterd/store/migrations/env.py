"""Run by Alembic on the connection, and in the transaction, that ``filterd.store.migrate`` opened."""

from __future__ import annotations

from alembic import context

from filterd.store.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
