"""Where a message ends on the wire, and how it is put on the wire: the end-of-data codec.

Only CR LF . CR LF ends DATA (RFC 5321 section 4.1.1.4); transparency dots are section 4.5.2; a CR or LF that stands
alone is forbidden by section 2.3.8 and is how messages are smuggled past a filter. Pure: octets in, octets out.
"""

from __future__ import annotations

from filterd.errors import BareNewline, MessageTooLarge

END_OF_DATA = b"\r\n.\r\n"
OVERRUN_BYTES = 1 << 20
"""How far beyond the size limit a message is still read, so that its sender sees the 552."""


class DataReceiver:
    """Collects one message from chunks split anywhere, and knows its end."""

    __slots__ = ("_buffer", "_dots", "_max_bytes", "is_dropped", "is_too_large", "received")

    def __init__(self, max_bytes: int) -> None:
        # Primed with the line end before the first line: an empty message is a lone dot, and dots at line
        # starts need no special case.
        self._buffer = bytearray(b"\r\n")
        self._max_bytes = max_bytes
        self._dots = 0
        self.received = 0
        """Octets on the wire so far."""
        self.is_too_large = False
        self.is_dropped = False
        """Whether the octets are no longer kept; the end is still found."""

    @property
    def is_overrun(self) -> bool:
        """Whether so much came beyond the limit that reading on is a waste."""
        return self.received > self._max_bytes + OVERRUN_BYTES and self.is_too_large

    def feed(self, data: bytes) -> bytes | None:
        """The octets after the end of data once it has come, None before."""
        buffer = self._buffer
        start = len(buffer)
        # One look for a dot is many times faster than one for a dot among line ends.
        has_dot = b"." in data or b"." in buffer[-4:]
        buffer += data
        end = buffer.find(END_OF_DATA, max(0, start - 4)) if has_dot else -1
        if end < 0:
            self.received += len(data)
            if has_dot and not self.is_dropped:
                self._dots += buffer.count(b"\r\n.", max(0, start - 2))
            self._measure(is_whole=False)
            return None
        rest = bytes(buffer[end + len(END_OF_DATA) :])
        self.received += len(data) - len(rest)
        # The dots since the last look, but for the end mark's own: to count all of 25 MB again takes too long.
        self._dots += buffer.count(b"\r\n.", max(0, start - 2), end + 3) - 1
        del buffer[end + 2 :]
        self._measure(is_whole=True)
        return rest

    def drop(self) -> None:
        """Keep no more than is needed to find the end."""
        self.is_dropped = True
        del self._buffer[:-4]

    def message(self, *, normalize: bool = False) -> bytes:
        """The message, without transparency dots and end mark.

        Raises MessageTooLarge, and BareNewline unless ``normalize`` turns stray CR and LF into CRLF.
        """
        if self.is_too_large:
            raise MessageTooLarge(f"{self.received} octets")
        content = self._buffer.replace(b"\r\n.", b"\r\n") if self._dots else self._buffer
        raw = bytes(memoryview(content)[2:])
        if has_bare_newline(raw):
            if not normalize:
                raise BareNewline
            raw = normalize_newlines(raw)
        if b"\0" in raw and _hides_a_dot(raw):
            raise BareNewline("a line of NUL and a dot")
        return raw

    def _measure(self, *, is_whole: bool) -> None:
        """Drop what is over the limit (RFC 1870 section 6), dots that are not of the message left out."""
        if self.is_dropped:
            del self._buffer[:-4]
            return
        # Before the end is known, the last octets may belong to its mark.
        size = len(self._buffer) - 2 - self._dots
        if size > self._max_bytes + 3 or (is_whole and size > self._max_bytes):
            self.is_too_large = True
        if self.is_too_large:
            self.drop()


def has_bare_newline(raw: bytes) -> bool:
    """Whether a CR or LF stands alone. Three bulk counts: a regular expression costs ten times as much."""
    pairs = raw.count(b"\r\n")
    return raw.count(b"\r") != pairs or raw.count(b"\n") != pairs


def normalize_newlines(raw: bytes) -> bytes:
    """``raw`` with every line end as CRLF."""
    # Three passes over everything: an expression takes six seconds for 25 MB of carriage returns.
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _hides_a_dot(raw: bytes) -> bool:
    """Whether a line that begins with NUL becomes a lone dot at a next hop which drops NUL; its lines end with CRLF.

    By counts, which take a fraction of what an expression takes: the event loop waits for it.
    """
    if _lone_dots(raw.translate(None, b"\0")) == _lone_dots(raw):
        return False
    # A line that begins with a dot is stuffed again on its way out, whatever follows in it.
    masked = b"\n" + raw
    masked = masked.replace(b"\n.", b"\n:")
    return masked.translate(None, b"\0").count(b"\n.\r") > 0


def _lone_dots(raw: bytes) -> int:
    return raw.count(b"\n.\r") + raw.startswith(b".\r")


def emit(raw: bytes) -> bytes:
    """``raw`` as it goes on the wire: every line end CRLF, dots stuffed, end mark behind.

    The octets hold no CR or LF that stands alone and exactly one end mark, whatever ``raw`` is.
    """
    if has_bare_newline(raw):
        raw = normalize_newlines(raw)
    if b"\r\n." in raw:
        raw = raw.replace(b"\r\n.", b"\r\n..")
    if raw.startswith(b"."):
        raw = b"." + raw
    end = b".\r\n" if not raw or raw.endswith(b"\r\n") else END_OF_DATA
    return raw + end
