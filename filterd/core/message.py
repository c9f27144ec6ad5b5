"""Raw mail as a Message: who says it, what a reader sees, what is hidden, where it leads.

Never raises anything but Unscannable, whatever the bytes; the limits are those of ``ParseLimits``. Where two
readings of a message are possible both are read, and a signal says so. Re-serialising is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message as Part
from types import MappingProxyType

from filterd.core.charset import codec_of, decode
from filterd.core.html import HtmlText, Link, read_html, skim_html
from filterd.core.limits import ParseLimits as ParseLimits  # whoever parses names it here
from filterd.core.rfc822 import (
    address_domain,
    author_of,
    body_bytes,
    children,
    clean,
    content_headers,
    header_text,
    kind_of,
    parse_tree,
    skip_mbox_line,
)
from filterd.errors import Unscannable


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A part that is not shown as text: its declared name and type, lower case."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A parsed e-mail."""

    subject: str = ""
    author: str = ""
    """Address in From, lower case; empty when absent or ambiguous."""
    author_name: str = ""
    text: str = ""
    """What a reader sees."""
    hidden: str = ""
    """Text in the message that a reader does not see."""
    alternative: str = ""
    """The plain version beside an HTML one, where both exist."""
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Raw values of ``HEADERS`` only, lower-case names."""
    part_count: int = 1
    html_parts: int = 0
    html_tags: int = 0
    images: int = 0
    remote_images: int = 0
    forms: int = 0
    size_bytes: int = 0
    signals: tuple[str, ...] = ()
    """Names of structural facts, sorted."""

    def domain_in(self, header: str) -> str:
        """Domain of the first address in ``header``, lower case."""
        return address_domain(list(self.headers.get(header, ())))


HEADERS = frozenset(
    (
        "subject",
        "from",
        "reply-to",
        "sender",
        "to",
        "cc",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "x-mailer",
        "user-agent",
        "x-priority",
        "importance",
    )
)
"""The headers that are read at all. Whatever a collector or a filter adds (``X-Spam-*``, ``List-*``, ``Received``,
``Delivered-To`` ...) is not among them, so that it can neither leak a label nor be forged."""

_ONCE = ("subject", "from", "date", "message-id", "content-type", "content-transfer-encoding", "mime-version")
_READABLE_NAMES = (".html", ".htm", ".shtml", ".xhtml", ".svg")
_MAX_ATTACHMENTS = 200
_BIG_TEXT_BYTES = 1_048_576


def parse_email(raw: bytes, limits: ParseLimits) -> Message:
    """The message in ``raw``. Raises Unscannable when it breaks a hard limit or the parser."""
    try:
        return Reader(limits).read(raw)
    except RecursionError:
        raise Unscannable("parts nest too deep") from None
    except (Unscannable, MemoryError):
        raise
    except Exception as exc:
        raise Unscannable(f"cannot be parsed: {type(exc).__name__}") from exc


class Reader:
    """What has been read of one message so far."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._signals: set[str] = set()
        self.plain: list[str] = []
        """Parts of plain text."""
        self.pages: list[str] = []
        """Parts of HTML as they came."""
        self.attached: list[Part] = []
        """The parts that ``attachments`` of the message tell of, in their order."""
        self._html: list[HtmlText] = []
        self._attachments: list[Attachment] = []
        self._decoded = 0
        self._html_chars = 0

    def read(self, raw: bytes) -> Message:
        """The message in ``raw``, as ``parse_email`` gives it; raises whatever breaks."""
        limits = self._limits
        size = len(raw)
        tree, parts, _, is_cut = parse_tree(
            skip_mbox_line(raw), limits.max_header_bytes, limits.max_parts, limits.max_depth
        )
        if is_cut:
            self._signals.add("long_content_header")
        headers = self._headers(tree)
        self._walk(tree)
        plain = "\n".join(self.plain)
        shown = "\n".join(part.visible for part in self._html)
        author, name = author_of(list(headers.get("from", ())))
        if "from" in headers and not author:
            self._signals.add("ambiguous_author")
        for part in self._html:
            self._signals.update(part.signals)
        return Message(
            subject=header_text(headers.get("subject", ("",))[0])[:1_000],
            author=author,
            author_name=name[:200],
            text=self._cut(shown if self._html else plain),
            hidden=self._cut("\n".join(part.hidden for part in self._html if part.hidden)),
            alternative=self._cut(plain) if self._html else "",
            links=tuple(link for part in self._html for link in part.links)[:1_000],
            attachments=tuple(self._attachments),
            headers=MappingProxyType(headers),
            part_count=parts,
            html_parts=len(self._html),
            html_tags=sum(part.tags for part in self._html),
            images=sum(part.images for part in self._html),
            remote_images=sum(part.remote_images for part in self._html),
            forms=sum(part.forms for part in self._html),
            size_bytes=size,
            signals=tuple(sorted(self._signals)),
        )

    def _headers(self, tree: Part) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, value in tree.raw_items():
            key = name.lower()
            if key in HEADERS:
                found[key] = (*found.get(key, ()), clean(str(value)))[:10]
        self._signals.update(f"duplicate_{name.replace('-', '_')}" for name in _ONCE if len(found.get(name, ())) > 1)
        if not tree.keys():
            self._signals.add("no_headers")
        return found

    def _walk(self, tree: Part) -> None:
        pending = [tree]
        while pending:
            part = pending.pop()
            parts = children(part)
            if parts is None:
                self._leaf(part)
            else:
                pending += reversed(parts)

    def _leaf(self, part: Part) -> None:
        headers = content_headers(part)
        kind = kind_of(part, headers)
        name = self._name(part, headers)[:200].lower()
        main, _, sub = kind.partition("/")
        if main == "multipart":
            self._signals.add("multipart_without_parts")
            main, sub = "text", "plain"
        is_page = sub in ("html", "xhtml+xml") or name.endswith(_READABLE_NAMES)
        is_attached = name or not (main == "text" or is_page)
        if is_attached and len(self._attachments) < _MAX_ATTACHMENTS:
            self._attachments.append(Attachment(name=name, kind=kind))
            self.attached.append(part)
        if main != "text" and not is_page:
            return
        text = self._text(part, headers)
        if is_page or _looks_like_html(text):
            most = self._limits.max_html_bytes
            self._html.append(read_html(text, most) if self._html_chars <= most * 2 else skim_html(text, most))
            self._html_chars += len(text)
            self.pages.append(text)
        elif sub not in ("calendar", "css", "rfc822-headers", "x-vcard", "vcard"):
            self.plain.append(text)

    def _name(self, part: Part, headers: Mapping[str, str]) -> str:
        name = file_name(part, headers)
        if name is None:
            self._signals.add("broken_filename")
        return name or ""

    def _text(self, part: Part, headers: Mapping[str, str]) -> str:
        data = body_bytes(part, headers)
        self._decoded += len(data)
        if self._decoded > self._limits.max_decoded_bytes:
            raise Unscannable(f"more than {self._limits.max_decoded_bytes} decoded bytes")
        if len(data) > _BIG_TEXT_BYTES:
            data = data[: _BIG_TEXT_BYTES * 3 // 4] + b"\n" + data[-_BIG_TEXT_BYTES // 4 :]
        label = self._label(part) if "charset" in headers.get("content-type", "").lower() else ""
        text, is_true = decode(data, label)
        if not is_true:
            self._signals.add("charset_mismatch" if codec_of(label) else "charset_refused")
        return text

    def _label(self, part: Part) -> str:
        try:
            label = part.get_param("charset", "")
        except (ValueError, LookupError, TypeError, UnicodeError):
            return "unreadable"
        return str(label[2] if isinstance(label, tuple) else label or "")

    def _cut(self, text: str) -> str:
        most = self._limits.max_text_chars
        return text if len(text) <= most else f"{text[: most * 3 // 4]}\n{text[-(most // 4) :]}"


def file_name(part: Part, headers: Mapping[str, str]) -> str | None:
    """The file name of a part, decoded (RFC 2047, RFC 2231); empty where it has none, None where it is broken."""
    if "content-disposition" not in headers and "name" not in headers.get("content-type", "").lower():
        return ""
    try:
        return header_text(str(part.get_filename("") or ""))
    except (ValueError, LookupError, TypeError, UnicodeError):
        return None


def _looks_like_html(text: str) -> bool:
    start = text[:400].lstrip().lower()
    return start.startswith(("<html", "<!doctype html", "<body", "<head>"))
