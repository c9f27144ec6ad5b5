"""What people put into paths and forms, read. What cannot be read counts as not given."""

from __future__ import annotations

from datetime import datetime, tzinfo

from filterd.core.envelope import MessageId, is_message_id
from filterd.errors import NotFound
from filterd.web.guard import Visit

_FIRST_YEAR, _LAST_YEAR = 1970, 9999
"""Days before and after have no place in every zone."""


def message_id(visit: Visit) -> MessageId:
    """The id in the path. Raises NotFound for what cannot be one."""
    id = visit.request.path_params["id"]
    if not is_message_id(id):
        raise NotFound("no such message")
    return MessageId(id)


def marked_ids(visit: Visit) -> list[MessageId]:
    """The ids of the messages that a form marks."""
    return [MessageId(id) for id in visit.fields("id") if is_message_id(id)]


def as_day(text: str, zone: tzinfo) -> datetime | None:
    """The beginning of a day of the calendar in ``zone``."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone)
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year < _LAST_YEAR else None


def as_share(text: str) -> float | None:
    """A probability from percents."""
    try:
        value = float(text) / 100
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
