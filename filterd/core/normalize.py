"""Text as a list of words in one canonical form, so that tricks with characters and numbers change little.

Unicode is folded (NFKC, lower case, invisible characters out, look-alikes of other scripts only in words that mix
scripts), s p a c e d letters are joined, and what varies without meaning (links, addresses, numbers) becomes a
shape: ``<url> <d:example.com> <t:com> login``, ``<email>``, ``<phone>``, ``<amt3>``, ``<n4>``. Normalising twice
changes nothing. Source: UAX 15 (stream-safe runs), UTS 39.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from filterd.core.confusables import COMBINING, INVISIBLE, LOOK_ALIKES

NORMALIZER_VERSION = 1
"""Counts changes of ``normalize``, ``features`` and ``sms`` that change what a model is fed."""
MAX_COMBINING = 30
"""Longest run of combining marks that is sorted (UAX 15 section 13); sorting is quadratic."""
MAX_WORD_CHARS = 24
_PIECE_CHARS = 6
"""Scripts without spaces are cut into pieces of this many letters."""
_MAX_PATH_WORDS = 5
_MAX_ROUNDS = 8

Registrable = Callable[[str], tuple[str, str]]
"""Host name -> (registrable domain, public suffix); empty strings where it has none."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""Invisible characters that emoji and many languages need: folded, but not counted as a trick."""
_LONG_RUN = re.compile(f"([{COMBINING}]{{{MAX_COMBINING}}})[{COMBINING}]+")
_OTHER_SCRIPT = re.compile(f"[{LOOK_ALIKES[0]}]")
_LATIN = re.compile("[a-z]")
_ASCII = bytes(range(128))
_FOREIGN_WORDS = re.compile(r"(?<![^\W_])[a-z0-9]*+[^\W_a-z0-9][^\W_]*+")
"""Words that are not of ASCII's letters and digits alone; possessive, or a long run would be read once per letter."""
_LOOK_ALIKES = str.maketrans(*LOOK_ALIKES)
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .\-_*|~]){3,60}[^\W\d_](?![^\W_])")
_SPACERS = re.compile(r"[ .\-_*|~]")
_SPACED_SHAPES = bytes(
    97 if chr(c).isalpha() or chr(c) == "?" else 32 if chr(c) in " .-_*|~" else 0 for c in range(256)
)
_SPACED_SHAPE = b"a a a a"
"""What every match of ``_SPACED`` looks like; ``?`` stands for what is not ASCII."""
_SPACED_NUMBER = re.compile(r"[0-9](?<![\w<:][0-9])[0-9()\-.]{0,12}(?: [0-9()\-.]{1,12}){1,6}(?![\w>])")
_NUMBER_SHAPES = bytes(48 if chr(c) in "0123456789()-." else 32 if c == 32 else 0 for c in range(256))
_NUMBER_SHAPE = b"0 0"
"""What every match of ``_SPACED_NUMBER`` looks like."""
_ASCII_DIGITS = b"0123456789"
_JOINED_DIGITS = (9, 15)
"""Digits of a number that is put together: a telephone number's."""

_PUNCTUATED = re.compile(r"[.,;:()\[\]{}\"'`-]*[a-z]++(?:[,;:()\[\]{}\"'`-]+[a-z]+)*+[.,;:()\[\]{}\"'`-]*")
"""Letters with signs that say nothing, but for a full stop between letters, which may be a host name's."""
_ASCII_LETTERS = re.compile("[a-z]+")
_SHAPE = re.compile(r"<(?:[a-z]{1,8}\d?|[dt]:[^<>\s]{1,80})>")
_URL = re.compile(r"(?:h(?:tt|xx)ps?|ftp)://([^\s<>\"']{1,2000})|(www\d?\.[^\s<>\"'/]{1,200}\.[^\s<>\"']{2,1000})")
_BARE = re.compile(r"[^\W_](?:[\w-]{0,62}\.)+([^\W\d_]{2,24})(?::\d{1,5})?(?:[/?#][^\s<>\"']*)?")
_EMAIL = re.compile(r"[^\s<>\"'@,;:()\[\]]{1,64}@[^\W_][\w.-]{1,250}\.[^\W\d_]{2,24}")
_PHONE = re.compile(r"\+?\(?\d[\d()\-./]{5,20}\d")
_AMOUNT = re.compile(
    r"([$\u00a3\u20ac\u00a5\u20b9\u20bd\u20a6\u20a9])(\d[\d.,']{0,15})[a-z]{0,3}|(\d[\d.,']{0,15})([$\u00a3\u20ac\u00a5\u20b9\u20bd])"
)
_NUMBER = re.compile(r"\d[\d.,:/'\-]*")
_PIECES = re.compile(r"<[^<>\s]{1,84}>|[^\W_]+|[!?$%*#=+&@\u00a3\u20ac\u00a5\u20b9^~|]+|[^\w\s.,;:()\[\]{}\"'`/\\<>-]")
_LEET = str.maketrans("013457", "oieast")
_LEET_RUN = re.compile(r"(?<=[a-z])[013457]{1,2}(?=[a-z]|\Z)")
_DIGITS = re.compile(r"\d")
_SIGN_IN_WORD = re.compile(r"(?<=[^\W\d_])[$@](?=[^\W\d_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Text with Unicode folded, and what had to be undone."""

    text: str
    invisible: int = 0
    """Invisible characters taken out, joiners not counted."""
    mixed_words: int = 0
    """Words that mixed Latin with look-alikes."""
    spaced: int = 0
    """Words whose letters stood apart."""


def fold(text: str) -> Folded:
    """``text`` in lower case with Unicode's and the spacing tricks undone."""
    invisible = mixed = spaced = 0
    if text.isascii():
        text = text.lower()
    else:
        text, invisible, mixed = _fold_unicode(text)
    if "[.]" in text:
        text = text.replace("[.]", ".")
    # The expression takes 60 ns a character, to look for its shape in translated octets 2.
    if _SPACED_SHAPE in text.encode("ascii", "replace").translate(_SPACED_SHAPES):
        text, spaced = _SPACED.subn(lambda match: _SPACERS.sub("", match[0]), text)
    return Folded(text=text, invisible=invisible, mixed_words=mixed, spaced=spaced)


def _fold_unicode(text: str) -> tuple[str, int, int]:
    """As ``fold``. Large character classes are only looked for among the characters that are not ASCII."""
    invisible = mixed = 0
    if _INVISIBLE.search(foreign(text)):
        joiners = sum(text.count(c) for c in _JOINERS)
        text, invisible = _INVISIBLE.subn("", text)
        invisible = max(0, invisible - joiners)
    for _ in range(4):
        before = text
        if _LONG_RUN.search(foreign(text)):
            text = _LONG_RUN.sub(r"\1", text)
        text = unicodedata.normalize("NFKC", text).lower()
        if text == before:
            break

    def unmask(match: re.Match[str]) -> str:
        nonlocal mixed
        word = match[0]
        if not (_LATIN.search(word) and _OTHER_SCRIPT.search(word)):
            return word
        mixed += 1
        return word.translate(_LOOK_ALIKES)

    if _OTHER_SCRIPT.search(foreign(text)):
        text = _FOREIGN_WORDS.sub(unmask, text)
    return text, invisible, mixed


def foreign(text: str) -> str:
    """The characters that are not ASCII, in their order: where to look for what is never ASCII."""
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")


class Normalizer:
    """Turns text into words; remembers what it has seen, at most ``capacity`` pieces."""

    def __init__(self, registrable: Registrable, capacity: int = 60_000) -> None:
        self._registrable = registrable
        self._capacity = capacity
        self._known: dict[str, tuple[str, ...]] = {}

    def words(self, folded: str) -> list[str]:
        """The words of a folded text."""
        out: list[str] = []
        known = self._known
        for chunk in _joined_numbers(folded).split():
            words = known.get(chunk)
            if words is None:
                words = self._learn(chunk)
            out += words
        return out

    def normalize(self, text: str) -> str:
        """``text`` in canonical form, one space between words; folded again until nothing changes."""
        for _ in range(_MAX_ROUNDS):
            before, text = text, " ".join(self.words(fold(text).text))
            if text == before:
                break
        return text

    def _learn(self, chunk: str) -> tuple[str, ...]:
        if "www" not in chunk and _PUNCTUATED.fullmatch(chunk):
            # Most of what is new: a word beside a full stop, a quotation mark, a hyphen. No link or number is in it.
            words = tuple([word[:MAX_WORD_CHARS] for word in _ASCII_LETTERS.findall(chunk[:4_000])])
        else:
            words = tuple(_shapes(chunk[:4_000], self._registrable))
        if len(chunk) <= 64:
            if len(self._known) >= self._capacity:
                self._known.clear()
            self._known[chunk] = words
        return words


def _joined_numbers(folded: str) -> str:
    """The text with hyphens for the spaces in telephone numbers."""
    data = folded.encode("ascii", "replace")
    if _NUMBER_SHAPE not in data.translate(_NUMBER_SHAPES):
        return folded
    if len(data) - len(data.translate(None, _ASCII_DIGITS)) < _JOINED_DIGITS[0]:
        return folded
    return _SPACED_NUMBER.sub(_join_number, folded)


def _join_number(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    return match[0].replace(" ", "-") if _JOINED_DIGITS[0] <= digits <= _JOINED_DIGITS[1] else match[0]


def _shapes(chunk: str, registrable: Registrable) -> Iterator[str]:
    """The words of one piece of folded text without white space."""
    if chunk.isalpha() and len(chunk) <= MAX_WORD_CHARS:
        yield chunk
        return
    if _SHAPE.fullmatch(chunk):
        yield chunk
        return
    core = chunk.strip(".,;:()[]{}\"'`<>!?*_-")
    url = _URL.search(chunk)
    if url:
        yield from _plain(chunk[: url.start()])
        yield from _url(url[1] or url[2], registrable)
    elif _EMAIL.search(chunk):
        yield "<email>"
        domain = registrable(core.rpartition("@")[2].strip(".>"))[0]
        if domain:
            yield f"<d:{domain[:80]}>"
    elif "." in core and _BARE.fullmatch(core) and registrable(_host(core))[0]:
        yield from _url(core, registrable)
    else:
        yield from _plain(chunk)


def _host(address: str) -> str:
    """The host in an address without its scheme: after any user name, before port, path and query."""
    return re.split(r"[/?#\\]", address, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].strip(".,;:)]>")


def _url(address: str, registrable: Registrable) -> Iterator[str]:
    yield "<url>"
    host = _host(address)
    domain, suffix = registrable(host)
    if host.replace(".", "").isdigit():
        yield "<urlip>"
    elif domain:
        yield f"<d:{domain[:80]}>"
        yield f"<t:{suffix.rpartition('.')[2][:80]}>"
    if "@" in re.split(r"[/?#]", address, maxsplit=1)[0]:
        yield "<urluser>"
    if "xn--" in host or not host.isascii():
        yield "<urlidn>"
    path = address[address.find(host) + len(host) :] if host else address
    found = 0
    for word in re.findall(r"[^\W\d_]{3,}", path[:300]):
        if found == _MAX_PATH_WORDS:
            break
        if len(word) <= MAX_WORD_CHARS:
            found += 1
            yield word


def _plain(chunk: str) -> Iterator[str]:
    if not chunk:
        return
    if chunk[0].isdigit() or not chunk[-1:].isalpha():
        shape = _number_shape(chunk.strip(".,;:()[]{}\"'`<>!?*_-"))
        if shape:
            yield shape
            return
    for piece in _PIECES.findall(_SIGN_IN_WORD.sub(lambda m: "s" if m[0] == "$" else "a", chunk)):
        yield from _word(piece)


def _number_shape(text: str) -> str:
    """The shape of a whole piece that is a number of some kind; empty where it is not."""
    if not _DIGITS.search(text):
        return ""
    amount = _AMOUNT.fullmatch(text)
    if amount:
        whole = re.split(r"[.,]\d{1,2}$", amount[2] or amount[3])[0]
        return f"<amt{min(sum(c.isdigit() for c in whole), 9)}>"
    digits = sum(c.isdigit() for c in text)
    shape = ""
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1]):
        shape = "<pct>"
    elif 9 <= digits <= 15 and _PHONE.fullmatch(text):
        shape = "<phone>"
    elif _NUMBER.fullmatch(text):
        is_date = ("/" in text or "-" in text) and digits >= 3
        shape = "<time>" if ":" in text else "<date>" if is_date else f"<n{min(digits, 9)}>"
    return shape


def _word(piece: str) -> Iterator[str]:
    """One run of letters and digits, or of signs."""
    if piece[0] == "<":
        if _SHAPE.fullmatch(piece):
            yield piece
        else:
            yield from (word for part in _PIECES.findall(piece[1:-1]) for word in _word(part))
        return
    if piece.isdecimal():
        yield f"<n{min(len(piece), 9)}>"
        return
    if not piece[0].isalnum():
        yield piece[0] * min(len(piece), 3) if len(set(piece)) == 1 else piece[:3]
        return
    if _DIGITS.search(piece):
        digits = len(_DIGITS.findall(piece))
        if len(piece) > MAX_WORD_CHARS or (len(piece) >= 12 and digits * 4 >= len(piece)):
            yield "<id>"
            return
        if len(piece) >= 4 and digits * 2 <= len(piece):
            piece = _LEET_RUN.sub(lambda m: m[0].translate(_LEET), piece)
        yield _DIGITS.sub("0", piece)
        return
    if len(piece) <= MAX_WORD_CHARS:
        yield piece
    elif piece.isascii():
        yield piece[:MAX_WORD_CHARS]
    else:
        yield from (piece[i : i + _PIECE_CHARS] for i in range(0, len(piece), _PIECE_CHARS))
