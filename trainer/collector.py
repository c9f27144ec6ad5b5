"""What the collector of a corpus, or the list it came through, wrote on top of a message: gone before filters compare.

Such lines tell the corpus and with it the label: verdicts of the collector's own filter, his provider's and list
software's headers, his mail program's marks and his server's trace line. Everything else stays as it was received.
Source: the traps that the corpora's own description names first.
"""

from __future__ import annotations

import re

from trainer.sources.archive import MBOX_FROM

_FIELD = re.compile(rb"([^\r\n:]*):?[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*(?:\r?\n|\Z)")
"""One header with its continuation lines (RFC 5322 section 2.2.3)."""
_END = re.compile(rb"\r?\n")
_PREFIXES = (b"x-spam-", b"x-barracuda-", b"x-ms-exchange-", b"list-", b"resent-")
_NAMES = frozenset({b"x-keywords", b"status", b"x-status"})
_TRACE = b"received"


def stripped(raw: bytes) -> bytes:
    """The message without those headers; the first ``Received`` is the collector's, the others are kept."""
    raw = MBOX_FROM.sub(b"", raw, count=1)
    kept, position, has_trace = [], 0, False
    while position < len(raw) and not _END.match(raw, position):
        field = _FIELD.match(raw, position)
        if field is None or field.end() == position:
            break
        name = field.group(1).strip().lower()
        is_first_trace = name == _TRACE and not has_trace
        has_trace = has_trace or name == _TRACE
        if not (is_first_trace or name in _NAMES or name.startswith(_PREFIXES)):
            kept.append(field.group())
        position = field.end()
    return b"".join(kept) + raw[position:]
