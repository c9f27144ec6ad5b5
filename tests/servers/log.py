"""A daemon's log, read by tests while it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def events_in(log: Path, name: str = "") -> list[dict[str, Any]]:
    """The events so far, or those of one name."""
    # What follows the last line end is still being written.
    lines = log.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0].splitlines()
    found = [event for line in lines if (event := _event(line)) is not None]
    return [event for event in found if not name or event["event"] == name]


def _event(line: str) -> dict[str, Any] | None:
    """The line's event; None where it is none, as a line of a traceback."""
    # A process killed while it wrote leaves the beginning of an event, and the next one writes behind it.
    for start in re.finditer(r'\{"', line):
        try:
            event: dict[str, Any] = json.loads(line[start.start() :])
        except ValueError:
            continue
        return event if "event" in event else None
    return None
