"""spamd's requests and replies as octets: SpamAssassin's SPAMC dialect, and RSPAMC, which Exim speaks to rspamd.

Source: spamd/PROTOCOL of SpamAssassin 4 (protocol 1.2 to 1.5), and what its clients really accept: libspamc and Exim
read replies with sscanf, so they are written to the letter. Not spoken: remote databases (``Set: remote``).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from filterd.core.advice import REJECT_SCORE, Advice, action_of
from filterd.core.headers import REQUIRED_SCORE
from filterd.core.verdict import Label
from filterd.errors import MessageTooLarge, RequestInvalid

MAX_HEAD_BYTES = 262_144
"""Of a request before its message: Exim writes a line for every recipient."""
_REQUEST = re.compile(rb"([A-Z_]{1,20}) (SPAMC|RSPAMC)/(\d)\.(\d)")
_HEADER = re.compile(rb"([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*([^\r\n]*)")
_LENGTH = re.compile(r"\d{1,12}")
_UNSAFE = re.compile(r"[^!-~]")
_NO_USERS = frozenset({"nobody", "default"})
"""Whom Exim and Haraka name to have the rules for everybody."""
_MAX_WORD_CHARS = 320
"""Longest address (RFC 3696, erratum 1690)."""


class Dialect(StrEnum):
    """What a client calls its protocol."""

    SPAMC = "SPAMC"
    RSPAMC = "RSPAMC"


class Code(IntEnum):
    """What went wrong, as sysexits.h and SpamAssassin number it."""

    OK = 0
    DATAERR = 65
    TEMPFAIL = 75
    PROTOCOL = 76
    NOPERM = 77
    TIMEOUT = 79


class Verb(StrEnum):
    """What is asked for."""

    CHECK = "CHECK"
    SYMBOLS = "SYMBOLS"
    REPORT = "REPORT"
    REPORT_IFSPAM = "REPORT_IFSPAM"
    PROCESS = "PROCESS"
    HEADERS = "HEADERS"
    TELL = "TELL"
    PING = "PING"
    SKIP = "SKIP"


_ASKS_RSPAMC = frozenset({Verb.CHECK, Verb.SYMBOLS, Verb.REPORT, Verb.REPORT_IFSPAM, Verb.PING, Verb.SKIP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request without its message."""

    verb: Verb
    dialect: Dialect
    version: tuple[int, int]
    length: int | None = None
    """Bytes of the message as it is sent, compressed or not; None reads to the end."""
    is_compressed: bool = False
    user: str = ""
    """Printable, without spaces; empty where the client names none, or "nobody" for everybody."""
    label: Label | None = None
    sets: frozenset[str] = frozenset()
    """Databases to learn in, lower case: ``local``, ``remote``."""
    removes: frozenset[str] = frozenset()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Everything else by its name in lower case."""

    def first(self, name: str) -> str:
        """The first value of that name, made of printable characters; empty where there is none."""
        return next(iter(self.fields.get(name, ())), "")


def parse_request(head: bytes) -> Request:
    """What the lines up to the empty one say; a field that is there twice counts as it stands first.

    Raises RequestInvalid.
    """
    first, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    found = _REQUEST.fullmatch(first)
    if found is None or found[1].decode() not in set(Verb):
        raise RequestInvalid(f"Bad header line: {_shown(first)}")
    verb, dialect = Verb(found[1].decode()), Dialect(found[2].decode())
    if dialect is Dialect.RSPAMC and verb not in _ASKS_RSPAMC:
        raise RequestInvalid(f"Bad header line: {_shown(first)}")
    fields: dict[str, list[str]] = {}
    for line in filter(None, lines):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise RequestInvalid(f"Bad header line: {_shown(line)}")
        fields.setdefault(header[1].decode().lower(), []).append(header[2].decode("utf-8", "replace").strip())
    one = {name: values[0] for name, values in fields.items()}
    return Request(
        verb=verb,
        dialect=dialect,
        version=(int(found[3]), int(found[4])),
        length=_length(one.get("content-length")),
        is_compressed=_is_compressed(one.get("compress", "")),
        user="" if one.get("user") in _NO_USERS else word(one.get("user", "")),
        label=_label(one.get("message-class", "")),
        sets=_databases(one.get("set", "")),
        removes=_databases(one.get("remove", "")),
        fields=MappingProxyType({name: tuple(map(word, values)) for name, values in fields.items()}),
    )


def word(text: str) -> str:
    """An address or name a client gives, as it may stand in a record or header: printable ASCII, no brackets."""
    return _UNSAFE.sub("?", text.strip().removeprefix("<").removesuffix(">").strip()[:_MAX_WORD_CHARS])


def _shown(line: bytes) -> str:
    """A line of the client's, fit to be said back to it."""
    return _UNSAFE.sub("?", line[:60].decode("ascii", "replace").replace(" ", "_")).replace("_", " ")


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise RequestInvalid("Bad Content-length")
    return int(text)


def _is_compressed(text: str) -> bool:
    if text.lower() not in {"", "zlib"}:
        raise RequestInvalid("Unknown compression, only zlib is known")
    return bool(text)


def _label(text: str) -> Label | None:
    if not text:
        return None
    if text.lower() not in set(Label):
        raise RequestInvalid("Message-class is neither spam nor ham")
    return Label(text.lower())


def _databases(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def inflate(data: bytes, most_bytes: int) -> bytes:
    """The message in ``data``, at most ``most_bytes`` of it are ever made.

    Raises MessageTooLarge, and RequestInvalid for what is not one whole zlib stream.
    """
    inflater = zlib.decompressobj()
    try:
        message = inflater.decompress(data, most_bytes + 1)
    except zlib.error:
        raise RequestInvalid("Compressed message cannot be read") from None
    if len(message) > most_bytes:
        raise MessageTooLarge
    if not inflater.eof:
        raise RequestInvalid("Compressed message is not whole")
    return message


# --- replies -------------------------------------------------------------------------------------------------


def pong(dialect: Dialect) -> bytes:
    """The reply to PING."""
    return b"RSPAMD/1.3 0 PONG\r\n" if dialect is Dialect.RSPAMC else b"SPAMD/1.5 0 PONG\r\n"


def failure(dialect: Dialect, code: Code, text: str) -> bytes:
    """The reply that there is no answer."""
    name = "RSPAMD/1.3" if dialect is Dialect.RSPAMC else "SPAMD/1.0"
    return f"{name} {code.value} {_one_line(text)}\r\n".encode("ascii")


def rewritten(request: Request, advice: Advice, message: bytes) -> bytes:
    """The reply to PROCESS and HEADERS with the message, or its header and the empty line, as it is now."""
    if request.version < (1, 2):
        return b"SPAMD/1.0 0 EX_OK\r\n" + message
    lines = f"Content-length: {len(message)}\r\n"
    if request.version >= (1, 3):
        lines += _result(request, advice)
    return f"SPAMD/1.1 0 EX_OK\r\n{lines}\r\n".encode("ascii") + message


def answer(request: Request, advice: Advice, *, hostname: str, quarantine_as: str) -> bytes:
    """The reply to everything else that asks for an opinion."""
    if request.dialect is Dialect.RSPAMC:
        return _rspamc(advice, quarantine_as)
    lines = _result(request, advice)
    body = b""
    if request.verb is Verb.SYMBOLS:
        end = "" if request.version >= (1, 3) else "\r\n"
        body = f"{','.join((*advice.names, f'FILTERD_ID_{advice.id}'))}{end}".encode("ascii")
    elif request.verb is Verb.REPORT or (request.verb is Verb.REPORT_IFSPAM and advice.is_spam):
        body = _report(advice, hostname).encode("ascii")
    if request.verb is not Verb.CHECK and request.version >= (1, 3):
        # Exim, which says 1.2, knows no other line than the result.
        lines = f"Content-length: {len(body)}\r\n{lines}"
    return f"SPAMD/1.1 0 EX_OK\r\n{lines}\r\n".encode("ascii") + body


def _result(request: Request, advice: Advice) -> str:
    words = ("No", "Yes") if request.verb is Verb.REPORT_IFSPAM else ("False", "True")
    # One decimal always: Haraka looks for a digit behind the point.
    return f"Spam: {words[advice.is_spam]} ; {advice.score:.1f} / {REQUIRED_SCORE:.1f}\r\n"


def _report(advice: Advice, hostname: str) -> str:
    """What was found, for people; the id stands alone in its line, for programs."""
    reason, *signals = advice.names
    rows = "".join(f" 0.0 {name}\r\n" for name in signals)
    return (
        f"Spam filter on {_one_line(hostname)}: {'spam' if advice.is_spam else 'ham'}\r\n"
        f"X-Filterd-Id: {advice.id}\r\n\r\n"
        f"Content analysis details:   ({advice.score:.1f} points, {REQUIRED_SCORE:.1f} required)\r\n\r\n"
        " pts rule name\r\n"
        "---- ----------------------\r\n"
        f"{advice.score:4.1f} {reason}\r\n{rows}"
    )


def _rspamc(advice: Advice, quarantine_as: str) -> bytes:
    """Exim scans the first two lines and takes the action from the third."""
    symbols = "".join(f"Symbol: {name}(0.00)\r\n" for name in advice.names)
    return (
        "RSPAMD/1.3 0 EX_OK\r\n"
        f"Metric: default; {advice.is_spam}; {advice.rspamd_score:.2f} / {REJECT_SCORE:.2f} / 0.0\r\n"
        f"Action: {action_of(advice, quarantine_as)}\r\n"
        f"{symbols}X-Filterd-Id: {advice.id}\r\n"
    ).encode("ascii")


def told(*, sets: bool, removes: bool) -> bytes:
    """The reply to TELL: what was done."""
    lines = ("DidSet: local\r\n" if sets else "") + ("DidRemove: local\r\n" if removes else "")
    return f"SPAMD/1.1 0 EX_OK\r\n{lines}\r\n\r\n".encode("ascii")


def _one_line(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)
