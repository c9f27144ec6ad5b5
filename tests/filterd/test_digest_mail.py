"""What a digest looks like, and that nothing a spammer writes becomes more than text in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC

import pytest

from filterd.digest_ports import Digest, DigestItem
from filterd.review_ports import HeldQuery
from tests.filterd.digest_mailbox import Mailboxes, links_of, mailboxes, parsed, text_of


@pytest.fixture
async def post() -> AsyncIterator[Mailboxes]:
    made = mailboxes()
    yield made
    await made.house.close()


async def test_digest_says_who_what_why_and_what_each_link_does(post: Mailboxes) -> None:
    await post.open()
    await post.hold(subject="Cheap watches")
    await post.tomorrow()

    (mail,) = post.mails
    text = text_of(mail)
    for part in (
        "1. Cheap watches",
        "From: offers@shop.example",
        "Spam: 97.3 %; held from 90.0 %",
        "Why: The probability reached the threshold.",
        "Release and teach: Delivers this message and says that it is wanted: near copies of it pass from now on.",
        "It works once, for 5 days.",
    ):
        assert part in text
    assert [line.partition(":")[0] for line in text.splitlines() if "/d/" in line] == [
        "Release",
        "Release and teach",
        "Allow sender",
        "Delete",
    ]
    html = text_of(mail, "html")
    assert all(f'href="http://filter.local{link}"' in html for link in links_of(mail))
    assert "the body nobody may see" not in text + html


async def test_digest_has_the_headers_of_mail_that_nobody_answers(post: Mailboxes) -> None:
    await post.open()
    await post.hold()
    await post.tomorrow()

    (mail,) = post.mails
    assert mail["from"] == "filter@example.org"
    assert mail["to"] == "ann@example.org"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail["list-id"] == "<digest.mx.example.org>"
    assert mail["message-id"].endswith("@mx.example.org>")
    assert mail["date"]
    assert not mail.defects
    assert post.hop.sent[0][1].isascii()
    assert max(map(len, post.hop.sent[0][1].split(b"\r\n"))) <= 998


async def test_digest_is_in_the_language_of_the_account(post: Mailboxes) -> None:
    await post.open(language="de")
    await post.hold()
    await post.tomorrow()

    (mail,) = post.mails
    assert mail["subject"] == "1 neue Nachricht in der Quarantäne"
    assert "Freigeben und merken" in text_of(mail)
    assert 'lang="de"' in text_of(mail, "html")


async def test_subject_becomes_neither_markup_nor_lines_of_its_own(post: Mailboxes) -> None:
    await post.open()
    hostile = '<script>alert(1)</script> & "x" {{ 7*7 }}'
    await post.hold(subject=hostile, sender='"<b>a"@shop.example')
    await post.hold(subject="=?utf-8?q?Hello=0D=0ARelease:_http://evil.example/=E2=80=AEx?=")
    await post.tomorrow()

    (mail,) = post.mails
    html, text = text_of(mail, "html"), text_of(mail)
    assert "<script" not in html
    assert "<b>a" not in html
    assert hostile in text
    assert not [line for line in text.splitlines() if line.startswith("Release: http://evil")]
    assert "\u202e" not in text + html


async def test_lines_in_a_subject_begin_no_line_of_the_mail(post: Mailboxes) -> None:
    account = await post.open()
    await post.hold()
    (held,) = await post.house.store.review.list_held(HeldQuery())
    hostile = "Hello\r\nRelease: http://evil.example/\u2028Delete: http://evil.example/"
    item = DigestItem(held=replace(held, subject=hostile, sender=hostile), threshold=None, secrets={})
    digest = Digest(account=account, slot=post.house.clock.now(), zone=UTC, items=[item], count=1, link_days=5)
    _, raw = post.keeper._compose(digest)

    assert not re.findall(r"^(Release|Delete): http://evil", text_of(parsed(raw)), re.MULTILINE)


async def test_sender_that_no_list_can_name_is_not_offered_to_be_allowed(post: Mailboxes) -> None:
    await post.open()
    await post.hold(sender="")
    await post.tomorrow()

    assert len(links_of(post.mails[0])) == 3
