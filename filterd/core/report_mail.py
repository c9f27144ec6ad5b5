"""A mail to a report address: which messages it reports, and as what.

Read are the headers of attached messages (RFC 2046 section 5.2.1), of feedback reports (RFC 5965), of a message quoted
in plain text, and of the mail itself where it was resent (RFC 5322 section 3.6.6). What an attached message has
attached in its turn is its sender's word and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message as Part
from types import MappingProxyType

from filterd.core.envelope import MessageId
from filterd.core.headers import find_id
from filterd.core.message import ParseLimits
from filterd.core.rfc822 import body_bytes, children, content_headers, kind_of, parse_tree, skip_mbox_line
from filterd.core.verdict import Label
from filterd.errors import Unscannable

MAX_REPORTS = 100
"""Messages that one mail may report."""
_ROOM_PARTS = 2
_ROOM_DEPTH = 5
"""A message that was just within the limits must still be within them when it is attached to another."""
_MAX_QUOTED_CHARS = 262_144
_MESSAGE_KINDS = frozenset({"message/rfc822", "message/global"})
_HEADER_KINDS = frozenset({"text/rfc822-headers", "message/global-headers"})
_LABELS: Mapping[str, Label] = MappingProxyType(
    {"abuse": Label.SPAM, "fraud": Label.SPAM, "virus": Label.SPAM, "not-spam": Label.HAM}
)
"""By Feedback-Type (RFC 5965 section 7.3, RFC 6430)."""

_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_PARAGRAPHS = re.compile(r"\n[> |\t]*\n")
_QUOTE = r"^(?:[>|] ?)*"
_QUOTED_FIELD = re.compile(rf"{_QUOTE}(from|to|subject|date|message-id|received)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_QUOTED_ID = re.compile(rf"{_QUOTE}x-filterd-id[ \t]*:[ \t]*([0-9a-f]{{32}})[ \t]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMail:
    """What a mail to a report address says."""

    ids: tuple[MessageId, ...] = ()
    """Messages of ours that it reports, each once."""
    strangers: int = 0
    """Messages it reports that have no id of ours."""
    label: Label | None = None
    """What a feedback report calls them; None where none says."""


def read_report(raw: bytes, limits: ParseLimits) -> ReportMail:
    """What ``raw`` reports. Raises Unscannable when it breaks a limit or the parser, or reports too many."""
    try:
        found = _Reader(limits).read(raw)
    except RecursionError:
        raise Unscannable("parts nest too deep") from None
    except (Unscannable, MemoryError):
        raise
    except Exception as exc:
        raise Unscannable(f"cannot be parsed: {type(exc).__name__}") from exc
    if len(found.ids) > MAX_REPORTS:
        raise Unscannable(f"reports more than {MAX_REPORTS} messages")
    return found


class _Reader:
    """What has been found in one mail so far."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._ids: dict[MessageId, None] = {}
        self._strangers = 0
        self._label: Label | None = None
        self._texts: list[str] = []

    def read(self, raw: bytes) -> ReportMail:
        limits = self._limits
        tree, *_ = parse_tree(
            skip_mbox_line(raw),
            limits.max_header_bytes,
            limits.max_parts * _ROOM_PARTS,
            limits.max_depth + _ROOM_DEPTH,
        )
        if any(name[:7].lower() == "resent-" for name in tree.keys()):  # noqa: SIM118  # iterating a Part looks items up
            # The mail is the reported message itself: all that is in it is its sender's.
            self._note(_id_of(tree))
            return self._found()
        self._walk(tree)
        if not self._ids and not self._strangers:
            self._read_quoted()
        return self._found()

    def _found(self) -> ReportMail:
        return ReportMail(ids=tuple(self._ids), strangers=self._strangers, label=self._label)

    def _note(self, id: MessageId | None) -> None:
        if id is None:
            self._strangers += 1
        else:
            self._ids[id] = None

    def _walk(self, tree: Part) -> None:
        pending = [tree]
        while pending:
            part = pending.pop()
            headers = content_headers(part)
            kind, inner = kind_of(part, headers), children(part)
            if kind in _MESSAGE_KINDS:
                self._note(_attached_id(part, inner, headers))
            elif kind == "message/feedback-report":
                self._read_feedback(inner)
            elif inner is None:
                self._leaf(part, kind, headers)
            elif not kind.startswith("message/"):
                pending += reversed(inner)

    def _leaf(self, part: Part, kind: str, headers: Mapping[str, str]) -> None:
        named = (headers.get("content-disposition", "") + headers.get("content-type", "")).lower()
        if kind in _HEADER_KINDS or ".eml" in named:
            self._note(find_id(body_bytes(part, headers)))
        elif kind == "text/plain":
            self._texts.append(body_bytes(part, headers)[:_MAX_QUOTED_CHARS].decode("ascii", "replace"))

    def _read_feedback(self, inner: list[Part] | None) -> None:
        for fields in inner or ():
            kind = str(fields.get("feedback-type", "")).partition("(")[0].strip().lower()
            self._label = self._label or _LABELS.get(kind)

    def _read_quoted(self) -> None:
        """Look at the first header block that is quoted in the text: what follows is the quoted message's own text."""
        for text in self._texts:
            for paragraph in _PARAGRAPHS.split(text.replace("\r\n", "\n")):
                names = {name.lower() for name in _QUOTED_FIELD.findall(paragraph)}
                if len(names) >= 2:
                    found = _QUOTED_ID.search(paragraph)
                    self._note(MessageId(found[1].lower()) if found else None)
                    return


def _attached_id(part: Part, inner: list[Part] | None, headers: Mapping[str, str]) -> MessageId | None:
    if not inner:
        return find_id(body_bytes(part, headers))
    message = inner[0]
    if message.keys():
        return _id_of(message)
    # Some attach messages in base64, which no message may be in (RFC 2046 section 5.2.1): the parser saw no header.
    return find_id(body_bytes(message, headers))


def _id_of(message: Part) -> MessageId | None:
    """The first id of ours in the header."""
    for name, value in message.raw_items():
        text = str(value).strip()
        if name.lower() == "x-filterd-id" and _ID.fullmatch(text):
            return MessageId(text.lower())
    return None
