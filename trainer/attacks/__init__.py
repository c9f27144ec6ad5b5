"""What spammers do to get past a filter, as pure functions from bytes to bytes; for measuring and for training alike.

An attack knows no model. What it borrows is passed in: words that look like ham, or texts of ham messages. With the
same random source it does the same. It never raises, and what comes out is a message again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from filterd.core.envelope import Channel
from filterd.core.sms import text_of
from trainer.attacks import mail, pages, text
from trainer.example import Example

__all__ = ["ATTACKS", "NOTHING", "SPAM_ONLY", "Attack", "Borrowed"]

SPAM_ONLY = ("good-words", "ham-words", "ham-messages", "subject-only", "image-only")
"""Beginnings of the names of attacks that add ham or leave nothing: nobody does this to ham."""
_BOTH = (Channel.EMAIL, Channel.SMS)
_EMAIL = (Channel.EMAIL,)
Plain = Callable[[str, random.Random, float], str]
Borrowing = Callable[[str, random.Random, float, Sequence[str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """What an attacker has of ham."""

    good_words: tuple[str, ...] = ()
    """The words that the attacked model finds most hammy, best first: a white box."""
    ham_words: tuple[str, ...] = ()
    """Words of ham."""
    ham_texts: tuple[str, ...] = ()
    """Ham messages, what is visible of each."""


NOTHING = Borrowed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack at one strength."""

    name: str
    change: Callable[[bytes, Channel, random.Random, Borrowed], bytes]
    channels: tuple[Channel, ...] = _BOTH
    family: str = ""
    """Which line of the targets it belongs to; empty for none."""

    def __call__(self, raw: bytes, channel: Channel, rng: random.Random, borrowed: Borrowed = NOTHING) -> bytes:
        """The attacked message; an attack of the other channel changes nothing."""
        return self.change(raw, channel, rng, borrowed) if channel in self.channels else raw

    def on(self, example: Example, rng: random.Random, borrowed: Borrowed = NOTHING) -> Example:
        """The example attacked, under an id of its own; label, corpus, group and date stay."""
        raw = self(example.raw, example.channel, rng, borrowed)
        return replace(example, raw=raw, id=f"{example.id}~{self.name}")


def _on_text(change: Plain, strength: float, raw: bytes, channel: Channel, rng: random.Random, _: Borrowed) -> bytes:
    if channel is Channel.SMS:
        return change(text_of(raw), rng, strength).encode("utf-8", "replace")
    message = mail.opened(raw)
    return mail.rebuilt(message, change(message.text, rng, strength))


def _adding(
    change: Borrowing, what: str, strength: float, raw: bytes, channel: Channel, rng: random.Random, borrowed: Borrowed
) -> bytes:
    source: Sequence[str] = getattr(borrowed, what)
    return _on_text(lambda t, r, s: change(t, r, s, source), strength, raw, channel, rng, borrowed)


def _best_words(words: str, _: random.Random, strength: float, best: Sequence[str]) -> str:
    """An attacker who sees the model takes its best words, not any of them."""
    return " ".join((words, *best[: round(strength)]))


def _shortened(raw: bytes, channel: Channel, rng: random.Random, _: Borrowed) -> bytes:
    if channel is Channel.SMS:
        return text.shortened(text_of(raw), rng, 1.0).encode("utf-8", "replace")
    message = mail.opened(raw)
    links = tuple(text.short_link(rng) for _link in message.links)
    return mail.rebuilt(replace(message, links=links), text.shortened(message.text, rng, 1.0))


def _hidden(style: str, raw: bytes, _: Channel, rng: random.Random, borrowed: Borrowed) -> bytes:
    return pages.hidden(mail.opened(raw), rng, 3, borrowed.ham_texts, style)


def _same(words: str, _: random.Random, __: float) -> str:
    return words


def _plain(name: str, change: Plain, strength: float, family: str = "") -> Attack:
    return Attack(name=name, change=partial(_on_text, change, strength), family=family)


def _all() -> tuple[Attack, ...]:
    words = partial(_adding, text.with_words, "ham_words")
    texts = partial(_adding, text.with_texts, "ham_texts")
    best = partial(_adding, _best_words, "good_words")
    return (
        _plain("rebuilt", _same, 0.0),
        _plain("typos-10", text.typos, 0.1, "typo"),
        _plain("typos-30", text.typos, 0.3),
        _plain("leet-50", text.leet, 0.5, "leet"),
        _plain("leet-100", text.leet, 1.0, "leet"),
        _plain("homoglyphs-100", text.homoglyphs, 1.0, "unicode"),
        _plain("zero-width-words", text.zero_width_words, 1.0, "unicode"),
        _plain("zero-width-characters", text.zero_width_characters, 1.0, "unicode"),
        _plain("bidi-marks", text.bidi_marks, 1.0, "unicode"),
        _plain("bidi-reversed", text.bidi_reversed, 0.3, "bidi reversed"),
        _plain("spaced-30", text.spaced, 0.3, "spacing"),
        _plain("case-flips-50", text.case_flips, 0.5),
        *(Attack(name=f"good-words-{n}", change=partial(best, n), family="good words") for n in (5, 10, 30)),
        *(Attack(name=f"ham-words-{n}", change=partial(words, n)) for n in (5, 10, 30)),
        *(Attack(name=f"ham-messages-{n}", change=partial(texts, n), family="ham messages") for n in (1, 3)),
        Attack(name="shortener", change=_shortened),
        *(
            Attack(name=f"hidden-{name}", change=partial(_hidden, style), channels=_EMAIL, family="hidden html")
            for name, style in pages.HIDDEN.items()
        ),
        *_mail_only(),
    )


def _mail_only() -> tuple[Attack, ...]:
    def one(name: str, change: Callable[[mail.Opened, random.Random], bytes], family: str = "") -> Attack:
        def run(raw: bytes, _: Channel, rng: random.Random, __: Borrowed) -> bytes:
            return change(mail.opened(raw), rng)

        return Attack(name=name, change=run, channels=_EMAIL, family=family)

    def dropped(raw: bytes, _: Channel, rng: random.Random, __: Borrowed) -> bytes:
        return mail.fewer_headers(raw, rng, 1.0)

    return (
        one("comments", lambda m, r: pages.comments(m, r, 1.0), "html"),
        one("entities", lambda m, r: pages.entities(m, r, 1.0), "html"),
        one("base64", lambda m, _: mail.encoded(m, m.text)),
        one("subject-only", lambda m, _: pages.subject_only(m)),
        one("image-only", pages.image_only),
        Attack(name="header-drop", change=dropped, channels=_EMAIL),
    )


ATTACKS: Mapping[str, Attack] = MappingProxyType({attack.name: attack for attack in _all()})
"""Name -> attack. ``rebuilt`` changes nothing but the form of an e-mail: what the others are compared with."""
