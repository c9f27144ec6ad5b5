"""What a spammer does with HTML: text a reader does not see, words cut by markup, text as codes or as a picture."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from trainer.attacks.mail import Opened, page, paragraphs, plain
from trainer.attacks.text import borrowed_texts, split_words

HIDDEN: Mapping[str, str] = MappingProxyType(
    {
        "display": "display:none",
        "font": "font-size:0",
        "colour": "color:#ffffff;background-color:#ffffff",
        "off-screen": "position:absolute;left:-9999px;top:-9999px",
    }
)
"""Ways to hide -> inline style."""
_MARK = "\ue000"
"""Stands for a comment until the text is escaped; a private character that no message uses."""
_LETTER = re.compile(r"[^\W_]")
_ESCAPED = re.compile(r"(&[a-z]{2,4};|&#x27;)")
"""What ``html.escape`` makes."""


def hidden(message: Opened, rng: random.Random, strength: float, texts: Sequence[str], style: str) -> bytes:
    """The message as HTML with ``strength`` of these texts in front of it that a reader does not see."""
    chosen = "\r\n".join(html.escape(text) for text in borrowed_texts(rng, strength, texts))
    return page(message, f'<div style="{style}">{chosen}</div>\r\n{paragraphs(message.text)}')


def comments(message: Opened, rng: random.Random, strength: float) -> bytes:
    """The message as HTML with a comment inside a share of its words, [0, 1]."""
    marked = split_words(message.text.replace(_MARK, ""), rng, strength, _MARK)
    body = paragraphs(marked)
    while _MARK in body:
        body = body.replace(_MARK, f"<!-- {rng.randrange(10_000)} -->", 1)
    return page(message, body)


def entities(message: Opened, rng: random.Random, strength: float) -> bytes:
    """The message as HTML with a share of its letters and digits, [0, 1], as character references of both kinds."""

    def reference(match: re.Match[str]) -> str:
        if rng.random() >= strength:
            return match[0]
        code = ord(match[0])
        return f"&#{code};" if rng.random() < 0.5 else f"&#x{code:x};"

    lines = (line for line in message.text.splitlines() if line.strip())
    # Signs are escaped first and by name: their own letters must not become references.
    return page(message, "\r\n".join(f"<p>{_outside(html.escape(line), reference)}</p>" for line in lines))


def _outside(escaped: str, reference: Callable[[re.Match[str]], str]) -> str:
    parts = _ESCAPED.split(escaped)
    return "".join(part if at % 2 else _LETTER.sub(reference, part) for at, part in enumerate(parts))


def subject_only(message: Opened) -> bytes:
    """The message without a body."""
    return plain(message, "")


def image_only(message: Opened, rng: random.Random) -> bytes:
    """The message with one linked picture for a body."""
    link = html.escape(message.links[0]) if message.links else f"https://go.example/{rng.randrange(10**6)}"
    picture = f"https://static.example/{rng.randrange(10**9)}.png"
    return page(
        Opened(head=message.head, text="", is_html=True),
        f'<a href="{link}"><img src="{picture}" width="600" height="800"></a>',
    )
