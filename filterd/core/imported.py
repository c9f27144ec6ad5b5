"""Mail that another filter has kept, as it was before that filter saw it.

What another filter wrote into the header names the label that somebody gave the mail; a model that reads it learns to
read the other filter. ``spamassassin -d`` takes more away than this: subject tags, and the wrapping of ``report_safe``.
"""

from __future__ import annotations

import hashlib
import re

from filterd.core.envelope import MessageId

_LONE = re.compile(rb"\r\n|\r|\n")
_END = re.compile(rb"\r\n\r\n|\A\r\n")
_BETWEEN_FIELDS = re.compile(rb"(?<=\r\n)(?![ \t])")
_OF_FILTERS = re.compile(
    rb"(?:x-spam|x-filterd-|x-rspamd-|x-bogosity|x-dspam|x-amavis|x-crm114|x-spamprobe|x-virus|x-sa-|x-mozilla-|"
    rb"x-evolution|x-status|status|x-keywords|x-uid|x-gmail-labels|delivered-to|return-path|authentication-results)",
    re.IGNORECASE,
)
_RETURN_PATH = re.compile(rb"(?im)^return-path:[ \t]*<([^<>\r\n]*)>")


def as_received(raw: bytes) -> bytes:
    """``raw`` with CRLF at the end of every line, and without what filters and mail stores put into its header."""
    raw = _LONE.sub(b"\r\n", raw)
    if raw.startswith(b"From "):
        raw = raw.partition(b"\r\n")[2]
    end = _END.search(raw)
    at = end.end() if end else len(raw)
    fields = [field for field in _BETWEEN_FIELDS.split(raw[:at]) if not _OF_FILTERS.match(field)]
    return b"".join(fields) + raw[at:]


def sender_of(raw: bytes) -> str:
    """The envelope sender that a mail store noted (RFC 5321 section 4.4); empty where it noted none."""
    found = _RETURN_PATH.search(raw[:65_536])
    return found[1].decode("utf-8", "replace") if found else ""


def example_id(received: bytes) -> MessageId:
    """The id of a mail that has none of ours: the same mail has the same."""
    return MessageId(hashlib.sha256(received).hexdigest()[:32])
