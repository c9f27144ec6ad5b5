"""The forms that lists are asked for with, and the addresses of their pages.

What cannot be read counts as not given: a form is sent half filled in, at every key.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from filterd.core.envelope import Channel, MessageId, is_message_id
from filterd.web.fields import as_day, as_share
from filterd.web.guard import Visit

_MOST_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a form asks for."""

    visit: Visit
    fields: Mapping[str, str]
    before: MessageId | None
    """Where the page before ended; None for the first page."""

    @classmethod
    def by(cls, visit: Visit, names: Sequence[str]) -> Asked:
        """The fields of those names; empty where they are not given."""
        parameters = visit.request.query_params
        before = parameters.get("before", "")
        return cls(
            visit=visit,
            fields={name: parameters.get(name, "").strip()[:_MOST_CHARS] for name in names},
            before=MessageId(before) if is_message_id(before) else None,
        )

    @property
    def query(self) -> dict[str, Any]:
        """What ``HeldQuery`` and ``VerdictQuery`` have in common, but for reasons: as far as the person reaches."""
        until = as_day(self.fields["until"], self.visit.zone)
        return {
            "reach": self.visit.person.reach,
            "text": self.fields["q"],
            "sender": self.fields["sender"],
            "recipient": self.fields["recipient"],
            "since": as_day(self.fields["since"], self.visit.zone),
            "until": None if until is None else until + timedelta(days=1),
            "channel": next((channel for channel in Channel if channel == self.fields["channel"]), None),
            "least_probability": as_share(self.fields["least"]),
            "most_probability": as_share(self.fields["most"]),
            "before": self.before,
        }

    def links(self, last: MessageId | None) -> dict[str, Any]:
        """Addresses of this page, the newest and the older one, where there is one; ``last`` ends this page."""
        return {
            "here": self._address(self.before),
            "newest": self._address(None) if self.before else "",
            "older": self._address(last) if last else "",
        }

    def _address(self, before: MessageId | None) -> str:
        kept = {name: value for name, value in self.fields.items() if value} | ({"before": before} if before else {})
        return self.visit.request.url.path + (f"?{urllib.parse.urlencode(kept)}" if kept else "")
