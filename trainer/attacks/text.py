"""What a spammer does to text: misspell, disguise and space it, and put ham around it.

Every function takes the text, a source of randomness and a strength, and returns other text that a person reads much
the same. Links are left alone but by ``shortened``. Source: the attacks are those of model evaluation in Wittel and Wu,
"On Attacking Statistical Spam Filters" (CEAS 2004), and of Lowd and Meek, "Good Word Attacks" (CEAS 2005).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_WORD = re.compile(r"[^\W\d_]+")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
_SHORT_WORD = 4
"""Words with fewer letters are neither misspelt nor spaced."""
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_TWINS = str.maketrans("aceijopsxyhkmtABCEHIJKMOPSTXY", "асеіјорѕхуһкмтАВСЕНІЈКМОРЅТХУ")
_ZERO_WIDTH = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad")
_SPACERS = (" ", ".", "-", "_", "*")
_SHORTENERS = ("bit.ly", "tinyurl.com", "cutt.ly", "is.gd", "rb.gy")
_CODE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_BIDI_PAIRS = (("\u2068", "\u2069"), ("\u202a", "\u202c"), ("\u2066", "\u2069"))
"""Marks that leave the order of Latin text as it is (UAX 9)."""
_OVERRIDE, _POP = "\u202e", "\u202c"
_NEIGHBOURS = {
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, letter in enumerate(row)
}
"""Keys beside each other on an English keyboard."""

Change = Callable[[str, random.Random], str]


def typos(text: str, rng: random.Random, strength: float) -> str:
    """A share ``strength`` of the words, [0, 1], with one letter swapped, dropped, doubled or struck beside."""
    return _each_word(text, rng, strength, _misspelt, least=_SHORT_WORD)


def leet(text: str, rng: random.Random, strength: float) -> str:
    """A share of the words, [0, 1], with digits for the letters that have one: ``fr33``."""
    return _each_word(text, rng, strength, lambda word, _: word.translate(_LEET))


def homoglyphs(text: str, rng: random.Random, strength: float) -> str:
    """A share of the letters that have a Cyrillic twin, [0, 1], replaced by it."""
    return _each_word(text, rng, 1.0, lambda word, r: "".join(_twin(letter, r, strength) for letter in word))


def zero_width_words(text: str, rng: random.Random, strength: float) -> str:
    """One invisible character inside a share of the words, [0, 1]."""
    return _each_word(text, rng, strength, _pierced, least=2)


def zero_width_characters(text: str, rng: random.Random, strength: float) -> str:
    """An invisible character after a share of the letters, [0, 1]."""
    return _each_word(
        text,
        rng,
        1.0,
        lambda word, r: "".join(c + (r.choice(_ZERO_WIDTH) if r.random() < strength else "") for c in word),
    )


def spaced(text: str, rng: random.Random, strength: float) -> str:
    """A share of the words, [0, 1], with their letters set apart, all in the same way: ``f r e e``."""
    spacer = rng.choice(_SPACERS)
    return _each_word(text, rng, strength, lambda word, _: spacer.join(word), least=_SHORT_WORD)


def case_flips(text: str, rng: random.Random, strength: float) -> str:
    """A share of the letters, [0, 1], in the other case."""
    return _each_word(
        text, rng, 1.0, lambda word, r: "".join(c.swapcase() if r.random() < strength else c for c in word)
    )


def bidi_marks(text: str, rng: random.Random, strength: float) -> str:
    """A share of the words, [0, 1], between direction marks that change nothing a reader sees."""

    def wrapped(word: str, r: random.Random) -> str:
        before, after = r.choice(_BIDI_PAIRS)
        return f"{before}{word}{after}"

    return _each_word(text, rng, strength, wrapped)


def bidi_reversed(text: str, rng: random.Random, strength: float) -> str:
    """A share of the words, [0, 1], stored backwards behind a right-to-left override, so that they look the same."""
    return _each_word(text, rng, strength, lambda word, _: f"{_OVERRIDE}{word[::-1]}{_POP}", least=2)


def shortened(text: str, rng: random.Random, strength: float) -> str:
    """A share of the links, [0, 1], as links of a URL shortener."""
    return _LINK.sub(lambda match: short_link(rng) if rng.random() < strength else match[0], text)


def short_link(rng: random.Random) -> str:
    """A made-up link of a URL shortener."""
    return f"https://{rng.choice(_SHORTENERS)}/{''.join(rng.choices(_CODE, k=7))}"


def with_words(text: str, rng: random.Random, strength: float, words: Sequence[str]) -> str:
    """The text and ``strength`` of these words after it, without repeats as far as they reach."""
    count = round(strength)
    chosen = list(words[:count]) if len(words) <= count else rng.sample(list(words), count)
    return f"{text} {' '.join(chosen)}" if chosen else text


def with_texts(text: str, rng: random.Random, strength: float, texts: Sequence[str]) -> str:
    """The text and ``strength`` of these texts after it."""
    chosen = borrowed_texts(rng, strength, texts)
    return " ".join((text, *chosen))


def borrowed_texts(rng: random.Random, strength: float, texts: Sequence[str]) -> list[str]:
    """``strength`` of these texts in random order, all of them where there are fewer."""
    return rng.sample(list(texts), min(round(strength), len(texts)))


def split_words(text: str, rng: random.Random, strength: float, mark: str) -> str:
    """A share of the words, [0, 1], with ``mark`` inside."""

    def split(word: str, r: random.Random) -> str:
        at = r.randrange(1, len(word))
        return f"{word[:at]}{mark}{word[at:]}"

    return _each_word(text, rng, strength, split, least=2)


def _each_word(text: str, rng: random.Random, share: float, change: Change, *, least: int = 1) -> str:
    """Change a share of the words outside of links that have at least so many letters."""

    def chosen(match: re.Match[str]) -> str:
        word = match[0]
        return change(word, rng) if len(word) >= least and rng.random() < share else word

    out, at = [], 0
    for link in _LINK.finditer(text):
        out += [_WORD.sub(chosen, text[at : link.start()]), link[0]]
        at = link.end()
    return "".join((*out, _WORD.sub(chosen, text[at:])))


def _misspelt(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
    if kind == 1:
        return f"{word[:at]}{word[at + 1 :]}"
    beside = _NEIGHBOURS.get(word[at].lower(), "")
    if kind == 2 or not beside:
        return f"{word[:at]}{word[at]}{word[at:]}"
    return f"{word[:at]}{rng.choice(beside)}{word[at + 1 :]}"


def _twin(letter: str, rng: random.Random, share: float) -> str:
    return letter.translate(_TWINS) if rng.random() < share else letter


def _pierced(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    return f"{word[:at]}{rng.choice(_ZERO_WIDTH)}{word[at:]}"
