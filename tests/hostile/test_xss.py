"""Markup in every field comes out as text that does nothing: row D7 of ``docs/threats.md``.

What a browser makes of the pages is tried with the same messages in ``tests/browser``.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

import pytest

from filterd.core.limits import ParseLimits
from filterd.core.mail_view import MailView, view
from filterd.core.safe_html import safe_html
from tests.hostile.markup import strangers
from tests.hostile.xss import messages
from tests.hostile.xss_payloads import payloads

LIMITS = ParseLimits()
PAYLOADS = list(payloads())
MAILS = list(messages(len(PAYLOADS), seed=7))


@cache
def seen(raw: bytes) -> MailView:
    """What people see of it; read once for all tests."""
    return view(raw, LIMITS)


def test_payloads_are_many_and_carry_their_marks() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 500
    assert all("canary.invalid/" in text.replace("\0", "") for text in PAYLOADS)
    assert all("__pwned" in text.replace("\0", "").lower() for text in PAYLOADS)


def test_messages_are_the_same_for_the_same_seed() -> None:
    again = list(messages(len(PAYLOADS), seed=7))

    assert again == MAILS
    assert list(messages(9, seed=8)) != MAILS[:9]
    assert [mail.number for mail in islice(messages(10_000, seed=1), 2)] == [0, 1]


def test_d7_html_that_is_shown_has_nothing_active_and_loads_nothing() -> None:
    for payload in PAYLOADS:
        link = payload.replace("&", "&amp;").replace("'", "&#39;")
        for source in (payload, f"<p>{payload}</p>", f"<table><tr><td>{payload}", f"<a href='{link}'>x</a>"):
            written = safe_html(source, LIMITS.max_html_bytes)

            assert strangers(written) == [], payload
            assert _loads(written) == [], payload


def test_d7_mail_that_is_shown_has_nothing_active_and_loads_nothing() -> None:
    for mail in MAILS:
        found = seen(mail.raw)

        assert strangers(found.html) == [], mail.payload
        assert _loads(found.html) == [], mail.payload


def test_d7_lines_that_are_shown_are_one_line_without_controls() -> None:
    for mail in MAILS:
        found = seen(mail.raw)

        assert all(line.isprintable() for line in _lines(found)), mail.payload
        assert not any({"/", "\\"} & set(attachment.name) for attachment in found.attachments)


@pytest.mark.parametrize("field", ["subject", "author", "to", "date", "message_id", "plain"])
def test_payloads_reach_the_fields_they_are_put_into(field: str) -> None:
    """Else nothing would have been tried: most say the marker where they are read."""
    reached = [mail for mail in MAILS if "canary.invalid" in _plain(getattr(seen(mail.raw), field))]

    assert len(reached) > len(MAILS) / 3


def test_payloads_reach_the_names_of_attachments() -> None:
    names = [a.name for mail in MAILS for a in seen(mail.raw).attachments]

    assert sum("canary.invalid" in name for name in names) > len(MAILS) / 3


def _lines(found: MailView) -> list[str]:
    lines = [found.subject, found.author, found.to, found.cc, found.reply_to, found.date, found.message_id]
    return lines + [text for attachment in found.attachments for text in (attachment.name, attachment.kind)]


def _plain(text: str) -> str:
    return text.replace("\ufffd", "").lower()


def _loads(written: str) -> list[str]:
    """Addresses in attributes that a browser would follow by itself: in any but a title."""
    attributes = re.findall(r'([a-z-]+)="([^"]*)"', "".join(re.findall(r"<[^<>]*>", written)))
    return [value for name, value in attributes if name != "title" and ("canary" in value or ":" in value)]
