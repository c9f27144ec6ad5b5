"""Our header block in front of a message, forged headers out of it, every other octet as received.

Never re-serialises: bytes are spliced (RFC 5322 section 2.2; RFC 8601 section 5 for Authentication-Results).
"""

from __future__ import annotations

from dataclasses import dataclass

from filterd.core.envelope import Envelope, MessageId
from filterd.core.verdict import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How headers are written for this installation."""

    hostname: str
    trusted_authserv_ids: frozenset[str] = frozenset()
    release_key: bytes = b""
    """Signs released messages so that they pass the filter once more."""


def stamp(raw: bytes, envelope: Envelope, decision: Decision, settings: Stamp) -> bytes:
    """``raw`` with our block in front and forged headers removed."""
    raise NotImplementedError


def release_header(raw: bytes, id: MessageId, settings: Stamp) -> bytes:
    """The line put in front of a released message, with CRLF; signs ``id`` and ``raw``."""
    raise NotImplementedError


def find_release(raw: bytes, settings: Stamp) -> MessageId | None:
    """The id in a valid release header of ``raw``, wherever later hops put lines in front of it; else None."""
    raise NotImplementedError
