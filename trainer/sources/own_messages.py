"""Modern messages of our own: each text of ``trainer/own/*.tsv`` with other names, amounts and links, several times.

``label TAB subject TAB text``. Frames of mail, plain or HTML with preheader, picture and footer, are drawn alike for
both labels, so that only the wording and where the links lead can tell them apart. A text's variants are one group.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from html import escape
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import label_of

VARIANTS = 8
"""Examples made of one text."""
CORPUS = "own-modern"
_LABELS = {"ham": Label.HAM, "spam": Label.SPAM}
_BRANDS = (
    *("Oakline", "Fernway", "Bluepost", "Korvo", "Millstone", "Nordlicht", "Paperhaus", "Quillo", "Rivermart"),
    *("Sunfold", "Tallow & Co", "Umbra", "Velafit", "Westgate", "Yarrow", "Zephyr Air", "Casa Lino", "Mobiltel"),
)
_NAMES = ("Anna", "Ben", "Chiara", "Deniz", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kofi", "Lena", "Maria")
_DATES = ("12 March", "Tuesday", "3 June", "21.11.", "Friday 9 May", "2025-02-14", "30/09/2024", "next Monday")
_SUFFIXES = ("com", "com", "net", "org", "de", "co.uk", "io", "fr", "es", "it", "nl", "app")
_BAD_SUFFIXES = ("com", "net", "top", "xyz", "info", "ru", "shop", "online", "site", "co", "live", "click")
_FREE = ("gmail.com", "outlook.com", "yahoo.com", "hotmail.com", "mail.ru")
_CURRENCIES = ("$ {}", "{} EUR", "{} €", "£{}", "${}")
_FOOTERS = (
    "You receive this message because of your account with us. Unsubscribe: {link}",
    "Do not reply to this message. Our address is in the legal notice.",
    "Unsubscribe | Preferences | View in browser",
    "This message and its attachments are confidential.",
    "",
    "",
)


def read_email(_: Path) -> Iterator[Example]:
    """The e-mails, the same on every machine. Raises CorpusError."""
    yield from _read(Channel.EMAIL)


def read_sms(_: Path) -> Iterator[Example]:
    """The SMS, the same on every machine. Raises CorpusError."""
    yield from _read(Channel.SMS)


def _read(channel: Channel) -> Iterator[Example]:
    path = Path(__file__).parents[1] / "own" / f"{channel}.tsv"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        cells = line.split("\t")
        if len(cells) != 3:
            raise CorpusError(f"{path}: line {number} wants label, subject and text; correct that line")
        label = label_of(cells[0], _LABELS, f"{path}: line {number}")
        for variant in range(VARIANTS):
            seed = hashlib.sha256(f"{cells[1]}\t{cells[2]}\t{variant}".encode()).digest()
            rng = random.Random(seed)  # noqa: S311  (invents names, guards nothing)
            yield Example(
                id=f"{number}#{variant}",
                corpus=CORPUS,
                channel=channel,
                label=label,
                raw=_mail(cells[1], cells[2], rng, label) if channel is Channel.EMAIL else _sms(cells[2], rng),
                group=f"{number}",
            )


def _sms(text: str, rng: random.Random) -> bytes:
    slots = _slots(rng, _domain(rng, _SUFFIXES), _domain(rng, _BAD_SUFFIXES))
    return _filled(text, slots).encode()


def _mail(subject: str, text: str, rng: random.Random, label: Label) -> bytes:
    own = _domain(rng, _SUFFIXES if label is Label.HAM else _SUFFIXES + _BAD_SUFFIXES)
    slots = _slots(rng, own if rng.random() < 0.8 else _domain(rng, _SUFFIXES), _domain(rng, _BAD_SUFFIXES))
    sender = own
    if label is Label.SPAM and rng.random() < 0.3:
        sender = rng.choice(_FREE)
    local = rng.choice(("info", "hello", "no-reply", "service", "news", slots["name"].lower(), "team"))
    body = _filled(text, slots)
    footer = _filled(rng.choice(_FOOTERS), slots)
    head = (
        f"From: {rng.choice((slots['brand'], slots['name'], ''))} <{local}@{sender}>\r\n"
        f"To: {rng.choice(_NAMES).lower()}@{_domain(rng, _SUFFIXES)}\r\n"
        f"Subject: {_filled(subject, slots)}\r\n"
        f"Message-ID: <{rng.getrandbits(60)}@{sender}>\r\nMIME-Version: 1.0\r\n"
    )
    frame = rng.choice((_plain, _html, _html, _both))
    return (head + frame(body, footer, slots, rng)).encode()


def _plain(body: str, footer: str, slots: dict[str, str], rng: random.Random) -> str:
    del slots, rng
    return f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n\r\n{footer}\r\n"


def _html(body: str, footer: str, slots: dict[str, str], rng: random.Random) -> str:
    return f"Content-Type: text/html; charset=utf-8\r\n\r\n{_page(body, footer, slots, rng)}\r\n"


def _both(body: str, footer: str, slots: dict[str, str], rng: random.Random) -> str:
    mark = f"=_{rng.getrandbits(64):x}"
    plain, page = _plain(body, footer, slots, rng), _html(body, footer, slots, rng)
    return (
        f'Content-Type: multipart/alternative; boundary="{mark}"\r\n\r\n'
        f"--{mark}\r\n{plain}--{mark}\r\n{page}--{mark}--\r\n"
    )


def _page(body: str, footer: str, slots: dict[str, str], rng: random.Random) -> str:
    words = rng.choice(("Open", "View", "Continue", "Click here", "Details", "Learn more"))
    shown = " ".join(
        f'<a href="{word}">{words}</a>' if word.startswith("http") else escape(word) for word in body.split(" ")
    )
    hidden = f'<div style="display:none">{escape(body[:60])}</div>' if rng.random() < 0.5 else ""
    picture = f'<img src="{slots["link"]}/logo.png" width="120">' if rng.random() < 0.6 else ""
    pixel = f'<img src="{slots["link"]}/o.gif" width="1" height="1">' if rng.random() < 0.5 else ""
    cells = f"<tr><td>{picture}</td></tr><tr><td><p>{shown}</p></td></tr>"
    small = f'<p style="font-size:10px;color:#888">{escape(footer)}</p>'
    return f"<html><body>{hidden}<table width=600>{cells}</table>{small}{pixel}</body></html>"


def _domain(rng: random.Random, suffixes: tuple[str, ...]) -> str:
    name = "".join(rng.choice("bcdfghklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 5)))
    return f"{name}{rng.choice(('', '', 'mail', 'shop', '-app'))}.{rng.choice(suffixes)}"


def _slots(rng: random.Random, own: str, bad: str) -> dict[str, str]:
    path = "".join(rng.choices("abcdefghijkmnpqrstuvwxyz23456789", k=rng.randint(2, 9)))
    amount = f"{rng.randint(5, 900)}{rng.choice(('.', ','))}{rng.randint(0, 99):02d}"
    return {
        "brand": rng.choice(_BRANDS),
        "name": rng.choice(_NAMES),
        "ref": f"{rng.choice(('', 'A', 'ORD-', 'DE'))}{rng.randint(10**4, 10**9)}",
        "code": f"{rng.randint(0, 999999):06d}",
        "digits": f"{rng.randint(0, 9999):04d}",
        "date": rng.choice(_DATES),
        "amount": rng.choice(_CURRENCIES).format(amount),
        "small": rng.choice(_CURRENCIES).format(f"{rng.randint(1, 3)}.{rng.randint(0, 99):02d}"),
        "link": f"https://{rng.choice(('www.', '', 'my.'))}{own}/{path}",
        "badlink": f"{rng.choice(('https://', 'http://', 'http://'))}{bad}/{path}",
    }


def _filled(text: str, slots: dict[str, str]) -> str:
    for name, value in slots.items():
        text = text.replace(f"{{{name}}}", value)
    return text
