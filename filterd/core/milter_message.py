"""A message as a milter sees it, put together for the scanner; and what a mail server must do to its headers.

The mail server keeps the message and is told what to change. What comes of it is what ``core.headers.stamp`` makes of
the same message, but for the trace line: a milter is no hop (RFC 5321 section 4.4). Its own trace line the mail
server does not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filterd.core.envelope import Envelope
from filterd.core.headers import Stamp, suspects, tag_subject, verdict_lines, without_forged
from filterd.core.milter_codec import Header, change_header, insert_header
from filterd.core.smtp_data import has_bare_newline, normalize_newlines
from filterd.core.verdict import Decision


def rebuild(headers: Sequence[Header], body: bytes, *, is_spaced: bool) -> bytes:
    """The message with CRLF as its only line end: the original, where values come with their space."""
    gap = b":" if is_spaced else b": "
    parts = [part for field in headers for part in (field.name, gap, field.value, b"\r\n")]
    raw = b"".join((*parts, b"\r\n", body))
    return normalize_newlines(raw) if has_bare_newline(raw) else raw


def edits(
    headers: Sequence[Header], envelope: Envelope, decision: Decision, settings: Stamp, *, is_spaced: bool
) -> Iterator[bytes]:
    """Frames that remove forged headers, tag the subject, and put ours in front of everything the sender wrote."""
    gap = b"" if is_spaced else b" "
    tag = decision.subject_tag.encode("ascii", "replace")
    ours = [line.replace("\r\n", "\n").encode("ascii") for line in verdict_lines(envelope, decision)]
    names = [field.name.lower() for field in headers]
    is_odd = _has_stray_end(headers)
    looked_at = range(len(headers)) if is_odd else suspects(names)
    subject = names.index(b"subject") if tag and b"subject" in names else -1
    if tag and subject < 0:
        ours.append(b"Subject: " + tag)
    changes = []
    for i in sorted({*looked_at, subject} - {-1}):
        field = headers[i]
        value = _wanted(field, settings.trusted_authserv_ids, gap)
        if i == subject and value is not None:
            value = tag_subject(b"Subject:" + gap + value, tag)[0][len(b"Subject:" + gap) :]
        if value != field.value:
            changes.append(change_header(names[: i + 1].count(names[i]), field.name, value or b""))
    # From the last to the first: where a removed field no longer counts, the others keep their numbers.
    yield from reversed(changes)
    for i, line in enumerate(ours):
        name, _, value = line.partition(b":")
        yield insert_header(i, name, value if is_spaced else value.removeprefix(b" "))


def _has_stray_end(headers: Sequence[Header]) -> bool:
    """Whether a value holds a line end behind which some readers see another field."""
    values = b" ".join(field.value for field in headers)
    return b"\r" in values or values.count(b"\n") != values.count(b"\n ") + values.count(b"\n\t")


def _wanted(field: Header, trusted: frozenset[str], gap: bytes) -> bytes | None:
    """The value of ``field`` without what only we may write; None where nothing remains of the field."""
    head = field.name + b":" + gap
    line = head + field.value
    cleaned = without_forged(line, trusted)
    # What follows a stray CR in a forged field is a part of it for the mail server, and goes with it.
    return cleaned[len(head) :] if cleaned.startswith(head) else None
