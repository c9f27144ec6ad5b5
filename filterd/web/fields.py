"""What people put into paths and forms, read. What cannot be read counts as not given."""

from __future__ import annotations

from datetime import UTC, datetime

from filterd.core.envelope import MessageId
from filterd.errors import NotFound
from filterd.web.guard import Visit


def message_id(visit: Visit) -> MessageId:
    """The id in the path. Raises NotFound for what cannot be one."""
    id = visit.request.path_params["id"]
    if not is_id(id):
        raise NotFound("no such message")
    return MessageId(id)


def is_id(text: str) -> bool:
    """Whether it has the form of a message id."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def as_day(text: str) -> datetime | None:
    """The beginning of a day of the calendar, UTC."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def as_share(text: str) -> float | None:
    """A probability from percents."""
    try:
        value = float(text) / 100
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
