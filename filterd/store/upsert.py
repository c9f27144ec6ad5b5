"""INSERT that knows ON CONFLICT; both databases spell it the same."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import FromClause, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def upsert(dialect: str, table: FromClause) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into ``table`` to which ``on_conflict_do_update`` or its kin can be added."""
    assert isinstance(table, Table)
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # its modules are many, and most installations have SQLite

    return postgresql.insert(table)


@cache
def insert_missing(dialect: str, table: FromClause) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that passes over the rows whose key is there."""
    return upsert(dialect, table).on_conflict_do_nothing()
