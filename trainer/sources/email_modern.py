"""Mail of today in many languages, written for this project, as many programs would have sent it.

Headers, charsets and transfer encodings are drawn from a hash of the message's id and never from its label, so that
none of them tells ham from spam. Dates are drawn too, so the examples have none.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example
from trainer.sources.email_layout import page
from trainer.sources.modern import Part, Written, examples

_AGENTS = (
    ("X-Mailer", "Outbox 16.0"),
    ("User-Agent", "Mailwren/128.3.0"),
    ("X-Mailer", "Kitemail (3.731.700.6)"),
    ("X-Mailer", "Dispatchly v2.14"),
    ("User-Agent", "Nightheron/2.2.12"),
    ("X-Mailer", "PHPost 6.9.1"),
)
_RECIPIENTS = (
    ("Priya Nair", "priya.nair@quillmail.com"),
    ("", "d.osei@bramleyfoods.com"),
    ("Margaret Hale", "mhale54@postbox.ie"),
    ("", "info@vogt-verpackung.de"),
    ("Omar Haddad", "omar@haddad.example"),
    ("Lucía Ortega", "luciaortega88@correlia.es"),
    ("", "tobi.ade@quillmail.com"),
    ("Anne Brandt", "anne.brandt@postfach-online.de"),
    ("", "s.rao@raointeriors.example"),
    ("Julien Roche", "j.roche@courrier-sud.fr"),
)
_RELAYS = ("mx1.{}", "smtp.{}", "out-7.mailbarge.net", "a27-14.smtp-out.postern.io", "{}")
_ZONES_HOURS = (0, 1, 2, -5, -8, 3, 9)
_FIRST = datetime(2025, 9, 1, 6, tzinfo=UTC)
_SPAN_MINUTES = 60 * 24 * 400


def read(path: Path, part: Part = Part.TRAIN) -> Iterator[Example]:
    """The corpus's messages of one part. Raises CorpusError."""
    return examples(path, part, Channel.EMAIL, composed)


def composed(message: Written) -> bytes:
    """The octets as received; the same message gives the same octets."""
    mail = EmailMessage(SMTP)
    name, address = _mailbox(message.sender)
    domain = address.rpartition("@")[2]
    lines = [*_trace(message, domain), *_origin(message, name, address), *_extras(message, address, domain)]
    for header, value in lines:
        mail[header] = value
    _fill(mail, _laid_out(message, name, domain))
    if _draw(message, "language", 4) == 0:
        mail["Content-Language"] = message.lang  # last, because setting content drops headers about content
    return mail.as_bytes()


def _mailbox(sender: str) -> tuple[str, str]:
    """Name and address; a name may hold commas and parentheses as it was typed, before anything quoted it."""
    name, mark, rest = sender.rpartition("<")
    return (name.strip().strip('"'), rest.rstrip("> ")) if mark else ("", sender.strip())


def _laid_out(message: Written, name: str, domain: str) -> Written:
    """The message, with a layout if it was written without one and is drawn to have one: with links more often."""
    if message.html or _draw(message, "layout", 20) >= (15 if "http" in message.text else 8):
        return message
    rng = random.Random(_draw(message, "page", 2**40))  # noqa: S311  (invents pages, guards nothing)
    html = page(message.text, subject=message.subject, brand=name or domain, domain=domain, lang=message.lang, rng=rng)
    return replace(message, html=html)


def _draw(message: Written, purpose: str, below: int) -> int:
    digest = hashlib.sha256(f"{purpose}/{message.id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") % below


def _date(message: Written) -> str:
    zone = timezone(timedelta(hours=_ZONES_HOURS[_draw(message, "zone", len(_ZONES_HOURS))]))
    moment = _FIRST + timedelta(minutes=_draw(message, "date", _SPAN_MINUTES))
    return format_datetime(moment.astimezone(zone))


def _trace(message: Written, domain: str) -> Iterator[tuple[str, str]]:
    if _draw(message, "trace", 3) == 0:
        return
    relay = _RELAYS[_draw(message, "relay", len(_RELAYS))].format(domain)
    number = _draw(message, "queue", 16**8)
    if _draw(message, "path", 2):
        yield "Return-Path", f"<bounce-{number:x}@{relay}>"
    # every address is of a documentation network (RFC 5737)
    peer = f"{relay} ({relay} [192.0.2.{number % 250 + 1}])"
    yield "Received", f"from {peer} by mx.example.net with ESMTPS id {number:08X}; {_date(message)}"


def _origin(message: Written, name: str, address: str) -> list[tuple[str, str | Address]]:
    to_name, to_address = _RECIPIENTS[_draw(message, "to", len(_RECIPIENTS))]
    lines: list[tuple[str, str | Address]] = [
        ("From", Address(display_name=name, addr_spec=address)),
        ("To", Address(display_name=to_name, addr_spec=to_address)),
        ("Subject", message.subject),
        ("Date", _date(message)),
        ("Message-ID", _message_id(message, address.rpartition("@")[2])),
    ]
    turn = _draw(message, "order", len(lines))
    return lines[turn:] + lines[:turn]


def _message_id(message: Written, domain: str) -> str:
    number = _draw(message, "number", 16**10)
    forms = (
        f"<{number:010x}.{number % 99991}@{domain}>",
        f"<CA+{number:X}@mail.{domain}>",
        f"<{number}.{number % 7919}.JavaMail.app@node{number % 9}.{domain}>",
        f"<01020{number:010x}-000000@a27-14.smtp-out.postern.io>",
        f"<{number:08x}-{number % 65536:04x}-4a1c-9f30-{number:010x}@{domain}>",
    )
    return forms[_draw(message, "form", len(forms))]


def _extras(message: Written, address: str, domain: str) -> Iterator[tuple[str, str]]:
    if _draw(message, "agent", 3) == 0:
        yield _AGENTS[_draw(message, "program", len(_AGENTS))]
    if _draw(message, "reply", 4) == 0:
        yield "Reply-To", address
    if _draw(message, "list", 5) < 2 and "http" in message.text:
        number = _draw(message, "subscriber", 16**6)
        yield "List-Unsubscribe", f"<mailto:leave-{number:x}@{domain}>, <https://{domain}/u/{number:x}>"
        if _draw(message, "one-click", 2):
            yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"
    if _draw(message, "auto", 5) == 0:
        yield "Auto-Submitted", "auto-generated"
    if _draw(message, "feedback", 5) == 0:
        yield "Feedback-ID", f"{_draw(message, 'campaign', 10**6)}:{message.lang}:mail"


def _fill(mail: EmailMessage, message: Written) -> None:
    encodings = ("quoted-printable", "base64", "8bit")
    text_cte, html_cte = (encodings[_draw(message, part, 3)] for part in ("text", "html"))
    if message.text.isascii() and _draw(message, "ascii", 2):
        text_cte = "7bit"
        if _draw(message, "mime", 4) == 0 and not message.html:
            mail.set_payload("\r\n".join([*message.text.split("\n"), ""]))  # a program that knows no MIME
            return
    if message.html and _draw(message, "only-html", 5) == 0:
        mail.set_content(message.html + "\n", subtype="html", charset="utf-8", cte=html_cte)
        return
    mail.set_content(message.text + "\n", charset="utf-8", cte=text_cte)
    if message.html:
        mail.add_alternative(message.html + "\n", subtype="html", charset="utf-8", cte=html_cte)
        mail.set_boundary(f"----=_Part_{_draw(message, 'boundary', 10**12)}")
