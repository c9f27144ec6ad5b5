"""Where a page of verdicts ends: never within a message, whose rows belong together."""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.envelope import MessageId
from filterd.ports import VerdictRow


def page_of(found: Sequence[VerdictRow], limit: int) -> tuple[Sequence[VerdictRow], MessageId | None]:
    """The rows of a page, and what the next begins below; None for the last page.

    ``found`` are those of ``Review.history``, asked for one more than ``limit``, which has all rows of its last
    message. A message of more than ``limit`` rows is a page of its own.
    """
    if len(found) <= limit:
        return found, None
    last = found[-1].id
    kept = [row for row in found if row.id != last] or found
    return kept, kept[-1].id
