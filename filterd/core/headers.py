"""Our header block in front of a message, forged headers out of it, every other octet as received.

Never re-serialises: bytes are spliced (RFC 5322 section 2.2; RFC 8601 section 5 for Authentication-Results). Header
lines end at CRLF, and also at a CR or LF that stands alone, because some readers end them there: a forged header is
removed under every reading. Every function takes linear time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import format_datetime

from filterd.core.calibration import odds_of
from filterd.core.envelope import Envelope, MessageId, Peer
from filterd.core.verdict import Action, Decision, Scan

REQUIRED_SCORE = 5.0
"""The ``required=`` of X-Spam-Status: SpamAssassin's, which filters of users know."""
MAX_SCORE = 30.0
MAX_LEVEL = 50

_FIELDS = re.compile(
    rb"[^\r\n]+(?:\r\n|\r|\n|\Z)(?:[ \t][^\r\n]*(?:\r\n|\r|\n|\Z))*|(?:\r\n|\r|\n)(?:[ \t][^\r\n]*(?:\r\n|\r|\n|\Z))*"
)
"""A field: its first line and those that continue it."""
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_MAILBOX_LINE = re.compile(rb">?From [^\r\n]*(?:\r\n|\r|\n)")
_SUSPECT = (b"spam", b"filterd", b"authentication-results")
"""What is in every name in question, lower case. Looks for octets take a tenth of an expression's time."""
_NAME_NOISE = bytes(range(0x21)) + bytes(range(0x7F, 0x100))
_SUSPECT_NAME = re.compile(rb"~[xX]~-~[sSrRfF]|~[aA]~[uU]~[tT]~[hH]".replace(b"~", rb"[\x00-\x20\x7f-\xff]*"))
"""How the names in question begin, whatever noise is between: a look that is cheaper than ``_is_forged``."""
_OURS = (b"x-spam-", b"x-spamd-", b"x-rspamd-", b"x-filterd-")
_RECEIVED = re.compile(rb"received(?<![^\r\n]received)[ \t]*:")
"""In lower case; begins with octets, which are looked for many times faster than a class or either case of a letter."""
_SUBJECT = re.compile(rb"(?:\A|(?<=[\r\n]))subject[ \t]*:", re.IGNORECASE)
_RELEASE_NAME = b"x-filterd-release:"
_RELEASE = re.compile(rb"(?:\A|(?<=[\r\n]))x-filterd-release: ([0-9a-f]{32}) ([0-9a-f]{64})\r\n", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_ID_LINE = re.compile(rb"^x-filterd-id[ \t]*:[ \t]*([0-9a-f]{32})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_MAX_SUBJECT_BYTES = 2_000
_UNSAFE_WORD = re.compile(r"[^A-Za-z0-9_.:+\[\]-]")
_UNSAFE_TEST = re.compile(r"[^A-Z0-9_]")
_COMMENT_OR_SPACE = re.compile(rb"(?:[ \t\r\n]|\((?:[^()\\]|\\.)*\))*", re.DOTALL)
_AUTHSERV_ID = re.compile(rb'"([^"\\\r\n]*)"|([^\s;()"]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How headers are written for this installation."""

    hostname: str
    trusted_authserv_ids: frozenset[str] = frozenset()
    """Lower case."""
    release_key: bytes = b""
    """Signs released messages so that they pass the filter once more."""


def stamp(raw: bytes, envelope: Envelope, decision: Decision, settings: Stamp) -> bytes:
    """``raw`` with our block in front and forged headers removed."""
    lines = (_received(envelope, settings.hostname), *verdict_lines(envelope, decision))
    return splice(raw, lines, decision.subject_tag, settings)


def splice(raw: bytes, lines: Iterable[str], subject_tag: str, settings: Stamp) -> bytes:
    """``raw`` with ``lines`` in front, forged headers removed, and ``subject_tag``, if any, in front of the subject."""
    # Of the message as it came: behind a forged field such a line is none, and must not come before our block.
    mailbox_line = _MAILBOX_LINE.match(raw)
    end = _header_end(raw)
    at = mailbox_line.end() if mailbox_line else 0
    header, body = raw[at:end], raw[end:]
    header = without_forged(header, settings.trusted_authserv_ids)
    block = "".join(f"{line}\r\n" for line in lines).encode("ascii")
    if subject_tag:
        header, extra = tag_subject(header, subject_tag.encode("ascii", "replace"))
        block += extra
    return b"".join((raw[:at], block, _fence(header[:1024]), header, body))


def find_id(mail: bytes) -> MessageId | None:
    """The id in the header of a mail as it was delivered, whatever its line ends; None where it has none of ours.

    Ours stands above all that the sender wrote, so the first one counts.
    """
    blank = _BLANK_LINE.search(mail)
    found = _ID_LINE.search(mail, 0, blank.start() + 1 if blank else len(mail))
    return MessageId(found[1].decode("ascii").lower()) if found else None


def header_bytes(raw: bytes) -> int:
    """How long the header block is; all of the message where no empty line ends it."""
    return _header_end(raw)


def count_hops(raw: bytes) -> int:
    """How many Received lines the message carries."""
    return len(_RECEIVED.findall(raw[: _header_end(raw)].lower()))


def score_of(scan: Scan, threshold: float | None) -> float:
    """The probability on SpamAssassin's scale: 5.0 is the threshold, one point is one unit of log-odds.

    score = 5 + logit(p) - logit(threshold), in [-30, 30], rounded to 0.1 without crossing the threshold. Where no
    threshold decided, that of the operating point ``normal`` stands in, or 0.5.
    """
    at = scan.points.get("normal", 0.5) if threshold is None else threshold
    score = REQUIRED_SCORE + odds_of(scan.probability) - odds_of(at)
    score = round(max(-MAX_SCORE, min(MAX_SCORE, score)), 1) + 0.0  # not -0.0
    if scan.probability < at:
        return min(score, REQUIRED_SCORE - 0.1)
    return max(score, REQUIRED_SCORE)


def release_header(raw: bytes, id: MessageId, settings: Stamp) -> bytes:
    """The line put in front of a released message, with CRLF; signs ``id`` and ``raw``."""
    return f"X-Filterd-Release: {id} {_release_code(raw, id, settings.release_key)}\r\n".encode("ascii")


def find_release(raw: bytes, settings: Stamp) -> MessageId | None:
    """The id in a valid release header of ``raw``, wherever later hops put lines in front of it; else None.

    Only the first such line counts, and an empty key is never valid.
    """
    if not settings.release_key:
        return None
    end = _header_end(raw) + 2
    if _RELEASE_NAME not in raw[:end].lower():
        return None
    match = _RELEASE.search(raw, 0, end)
    if match is None:
        return None
    id = MessageId(match[1].decode("ascii"))
    expected = _release_code(raw[match.end() :], id, settings.release_key)
    return id if hmac.compare_digest(expected.encode("ascii"), match[2].lower()) else None


def _release_code(rest: bytes, id: MessageId, key: bytes) -> str:
    return hmac.new(key, id.encode("ascii") + hashlib.sha256(rest).digest(), hashlib.sha256).hexdigest()


def _header_end(raw: bytes) -> int:
    """Where the header block ends: behind its last line, before the empty one.

    The longest reading counts (CRLF CRLF only), so that no reader sees header lines that were not looked at.
    """
    end = raw.find(b"\r\n\r\n")
    if end and raw.startswith(b"\r\n"):
        return 0
    return end + 2 if end >= 0 else len(raw)


def forged_names(raw: bytes) -> tuple[str, ...]:
    """Names in the header of ``raw`` that only we may write, each once, as they stand there.

    Authentication-Results is not among them: whose they are is not in the name.
    """
    found: dict[str, None] = {}
    for field in _FIELDS.findall(raw[: _header_end(raw)]):
        name = _HEADER.match(field)
        if name is not None and _SUSPECT_NAME.match(field) and _is_ours(_bare(name[0][:-1])):
            found[name[0][:-1].rstrip().decode("ascii")] = None
    return tuple(found)


def subject_of(raw: bytes) -> str:
    """The first subject as it stands, unfolded and not decoded; empty where there is none."""
    match = _SUBJECT.search(raw, 0, _header_end(raw))
    if match is None:
        return ""
    line = _FIELDS.match(raw, match.start())
    text = raw[match.end() : line.end() if line else len(raw)][:_MAX_SUBJECT_BYTES]
    lines = text.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return " ".join(line.strip() for line in lines if line.strip())


# --- our block -----------------------------------------------------------------------------------------------


def lines_of(id: MessageId, decision: Decision, score: float | None) -> tuple[str, ...]:
    """What was decided, in lines without their ends; ``score`` is on SpamAssassin's scale, None if unscored."""
    lines = [f"X-Filterd-Id: {_word(id)}", f"X-Filterd-Reason: {decision.reason.value}"]
    if decision.action not in (Action.ACCEPT, Action.DEFER):
        lines.append("X-Spam-Flag: YES")
    return (*lines, *_status(decision, score))


def verdict_lines(envelope: Envelope, decision: Decision) -> tuple[str, ...]:
    """What we say about a message: header fields in their order, without their last CRLF, in ASCII."""
    scan = decision.scan
    return lines_of(envelope.id, decision, None if scan is None else score_of(scan, decision.threshold))


def names_of(decision: Decision) -> tuple[str, ...]:
    """What stands in ``tests=``: the reason and the signals, in capitals."""
    names = [decision.reason.value, *(decision.scan.signals if decision.scan else ())][:20]
    return tuple(_UNSAFE_TEST.sub("_", name.upper())[:40] for name in names)


def _status(decision: Decision, score: float | None) -> list[str]:
    """What was found. Without a scan it says so, and never that the message is ham."""
    if score is None:
        return [f"X-Spam-Status: Unscanned, reason={decision.reason.value}"]
    answer = "No" if decision.action is Action.ACCEPT else "Yes"
    tests = ",".join(names_of(decision))
    lines = [
        f"X-Spam-Status: {answer}, score={score:.1f} required={REQUIRED_SCORE:.1f}\r\n\ttests={tests}",
        f"X-Spam-Score: {score:.1f}",
    ]
    stars = min(int(score), MAX_LEVEL)
    if stars > 0:
        lines.append(f"X-Spam-Level: {'*' * stars}")
    return lines


def _received(envelope: Envelope, hostname: str) -> str:
    """Our trace line (RFC 5321 section 4.4)."""
    peer = envelope.peer
    protocol = _word(peer.protocol) or "SMTP"
    origin = f"from {_word(peer.helo) or 'unknown'} ({_who(peer)})\r\n\t" if peer.address else ""
    date = format_datetime(envelope.received_at)
    here = f"by {_word(hostname) or 'localhost'} (filterd) with {protocol} id {_word(envelope.id)}"
    return f"Received: {origin}{here};\r\n\t{date}"


def _who(peer: Peer) -> str:
    name = _word(peer.name) or "unknown"
    return f"{name} [{_word(peer.address)}]"


def _word(text: str) -> str:
    """``text`` made of characters that can stand in a trace line."""
    return _UNSAFE_WORD.sub("?", text)[:255]


def _fence(after: bytes) -> bytes:
    """What keeps our last header apart from the message's first line.

    A first line that begins with a space would continue our header: a header of no meaning takes it in. A first line
    that is no header begins the body: an empty line says so.
    """
    if not after or _HEADER.match(after) or after[:1] in b"\r\n":
        return b""
    if after[:1] in b" \t":
        return b"X-Filterd-End: 1\r\n"
    return b"\r\n"


# --- the message's own headers -------------------------------------------------------------------------------


def without_forged(header: bytes, trusted: frozenset[str]) -> bytes:
    """``header`` without lines only we, or a trusted server, may write."""
    bare = header.translate(None, _NAME_NOISE).lower()
    if not any(word in bare for word in _SUSPECT):
        return header
    kept: list[bytes] = []
    for whole in _FIELDS.findall(header):
        if not (_SUSPECT_NAME.match(whole) and _is_forged(whole, trusted)):
            kept.append(whole)
        elif kept and not kept[-1].endswith(b"\r\n"):
            # The field before ended at a stray CR or LF: strict readers took the two for one line, so the line
            # end that stays is the removed one's.
            kept[-1] = kept[-1].rstrip(b"\r\n") + _line_end(whole)
    return b"".join(kept)


def suspects(names: Sequence[bytes]) -> frozenset[int]:
    """Numbers of the names of fields that may be more than the sender's own: one look at all of them."""
    together = _bare(b":".join(names))
    if not any(word in together for word in _SUSPECT):
        return frozenset()
    bare = together.split(b":")
    if len(bare) != len(names):
        return frozenset(range(len(names)))
    return frozenset(
        i
        for i, name in enumerate(bare)
        if any(word in name for word in _SUSPECT) and (_is_ours(name) or name == b"authentication-results")
    )


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def _is_forged(field: bytes, trusted: frozenset[str]) -> bool:
    name, colon, value = field.partition(b":")
    if not colon or len(name) > 1024:
        return False
    name = _bare(name)
    return _is_ours(name) or (name == b"authentication-results" and _authserv_id(value) not in trusted)


def _bare(name: bytes) -> bytes:
    """A name in lower case without NUL, spaces and octets outside ASCII, which some readers drop."""
    return name.translate(None, _NAME_NOISE).lower()


def _is_ours(name: bytes) -> bool:
    return name.startswith(_OURS) or name == b"x-spam"


def _authserv_id(value: bytes) -> str:
    """The first word of an Authentication-Results value, lower case; empty where there is none."""
    lead = _COMMENT_OR_SPACE.match(value)
    match = _AUTHSERV_ID.match(value, lead.end() if lead else 0)
    if match is None:
        return ""
    return (match[1] or match[2] or b"").decode("ascii", "replace").lower()


def tag_subject(header: bytes, tag: bytes) -> tuple[bytes, bytes]:
    """``header`` with ``tag`` in front of its first subject, and the line to add where it has none."""
    match = _SUBJECT.search(header)
    if match is None:
        return header, b"Subject: " + tag + b"\r\n"
    rest = header[match.end() :]
    if rest.lstrip(b" \t").startswith(tag):
        return header, b""
    gap = b"" if rest[:1] in b" \t\r\n" else b" "
    return header[: match.end()] + b" " + tag + gap + rest, b""
