"""A mail as people read it: who and when, the text first, and what else is in it. See ``core.message`` for the parsing.

Nothing here is safe because of what it is shown in: names, headers and texts hold nothing that acts on a page or a
terminal but characters of markup, which whoever shows them has to escape; the HTML is that of ``core.safe_html``.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message as Part

from filterd.core.limits import ParseLimits
from filterd.core.message import Message, Reader, file_name
from filterd.core.rfc822 import body_bytes, content_headers, header_text, kind_of
from filterd.core.safe_html import MAX_CHARS, safe_html
from filterd.core.shown import shown_line, shown_text
from filterd.errors import Unscannable

MAX_HEADER_CHARS = 1_000
MAX_NAME_CHARS = 200
_MAX_PAGES = 20
_PATH = str.maketrans(dict.fromkeys("/\\:", "_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentView:
    """What is known of a part that is not shown."""

    name: str
    """As declared, without path; empty where it has none."""
    kind: str
    """Declared type, lower case."""
    size_bytes: int
    """Decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailView:
    """What people see of one mail. Headers are decoded, on one line; those that are absent are empty."""

    subject: str = ""
    author: str = ""
    """From."""
    to: str = ""
    cc: str = ""
    reply_to: str = ""
    date: str = ""
    message_id: str = ""
    text: str = ""
    """What the model reads: what is visible of the HTML, or the plain text where there is none."""
    plain: str = ""
    """The plain text, where it is beside HTML."""
    hidden: str = ""
    """Text in it that a reader of the HTML does not see."""
    html: str = ""
    """The HTML parts, made safe; empty where there are none."""
    attachments: tuple[AttachmentView, ...] = ()


def view(raw: bytes, limits: ParseLimits) -> MailView:
    """What people see of ``raw``. Raises Unscannable when it breaks a hard limit or the parser."""
    try:
        return _view(raw, limits)
    except RecursionError:
        raise Unscannable("parts nest too deep") from None
    except (Unscannable, MemoryError):
        raise
    except Exception as exc:
        raise Unscannable(f"cannot be parsed: {type(exc).__name__}") from exc


def _view(raw: bytes, limits: ParseLimits) -> MailView:
    reader = Reader(limits)
    message = reader.read(raw)
    return MailView(
        subject=_header(message, "subject"),
        author=_header(message, "from"),
        to=_header(message, "to"),
        cc=_header(message, "cc"),
        reply_to=_header(message, "reply-to"),
        date=_header(message, "date"),
        message_id=_header(message, "message-id"),
        text=shown_text(message.text),
        plain=shown_text(message.alternative),
        hidden=shown_text(message.hidden),
        html=_html(reader.pages, limits),
        attachments=tuple(map(_attachment, reader.attached)),
    )


def _header(message: Message, name: str) -> str:
    """Every value it has: where a message says it twice, people should see that."""
    values = (header_text(value) for value in message.headers.get(name, ()))
    return shown_line("; ".join(filter(None, values)), MAX_HEADER_CHARS)


def _html(pages: list[str], limits: ParseLimits) -> str:
    """The first parts, within the length that one may have by itself."""
    shown: list[str] = []
    for page in pages[:_MAX_PAGES]:
        if sum(map(len, shown)) >= MAX_CHARS:
            break
        shown.append(safe_html(page, limits.max_html_bytes))
    return "<hr>".join(shown)


def _attachment(part: Part) -> AttachmentView:
    headers = content_headers(part)
    return AttachmentView(
        name=shown_line((file_name(part, headers) or "").translate(_PATH), MAX_NAME_CHARS).lstrip("."),
        kind=shown_line(kind_of(part, headers), MAX_NAME_CHARS),
        size_bytes=len(body_bytes(part, headers)),
    )
