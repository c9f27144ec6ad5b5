"""The tables through which hosts share which bundle serves: a pointer for each channel, and the bundles' files."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, PrimaryKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from filterd.store.schema import Base


class ModelPointerRecord(Base):
    """The bundle that serves a channel on every host."""

    __tablename__ = "model_pointer"

    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int]
    """Counts changes: who changes it must have seen the one before."""
    model: Mapped[str] = mapped_column(String(128))
    """Empty where the bundle in the package serves."""
    previous: Mapped[str] = mapped_column(String(128))
    set_at: Mapped[datetime]
    set_by: Mapped[str]
    """The host's name."""


class ModelFileRecord(Base):
    """One file of a bundle that serves or did just before."""

    __tablename__ = "model_file"
    __table_args__ = (PrimaryKeyConstraint("channel", "model", "name"),)

    channel: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary)
