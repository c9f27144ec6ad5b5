"""The real daemon as Debian's spamc sees it."""

from __future__ import annotations

import asyncio
import re

import pytest

from filterd.errors import ScanDown
from tests.filterd.advised import World
from tests.interop.conftest import Asked
from tests.servers import spamc
from tests.servers.gateway import wait_until
from tests.servers.spamc import Answer

pytestmark = [pytest.mark.real, pytest.mark.slow]

SPAM = b"From: Eve <eve@example.com>\nTo: b@example.net\nX-Spam-Status: No\nSubject: hello\n\nlottery winner\n"
HAM = b"From: Ann <ann@example.org>\nTo: b@example.net\nSubject: hello\n\nthe agenda for Monday\n"
NEWS = b"From: Dan <dan@example.org>\nTo: b@example.net\nSubject: news\n\n" + b" ".join(
    b"word%d" % number for number in range(60)
)


def _spamc(asked: Asked, *options: str, mail: bytes = SPAM) -> Answer:
    return spamc.run(
        "usr/bin/spamc", "-d", "127.0.0.1", "-p", str(asked.spamd), "-u", "b@example.net", *options, mail=mail
    )


@pytest.mark.parametrize(("mail", "code"), [(SPAM, 1), (HAM, 0)], ids=["spam", "ham"])
def test_spamc_when_it_checks_says_the_score_and_exits_by_it(asked: Asked, mail: bytes, code: int) -> None:
    """``spamc -c`` prints score and threshold, and ends with 1 for spam and 0 for ham."""
    answer = _spamc(asked, "-c", mail=mail)

    score, _, required = answer.text.decode().strip().partition("/")
    assert (answer.code, required, float(score) >= 5.0) == (code, "5.0", code == 1)


def test_spamc_when_it_filters_gets_its_message_with_our_lines_and_without_forged_ones(
    asked: Asked,
) -> None:
    """The message comes back in its own line ends, ours in front, the sender's X-Spam lines gone."""
    answer = _spamc(asked)

    head, _, body = answer.text.partition(b"\n\n")
    assert b"\r" not in answer.text
    assert re.match(rb"X-Filterd-Id: [0-9a-f]{32}\n", head)
    assert b"\nX-Spam-Status: Yes, score=" in head
    assert b"X-Spam-Status: No" not in head
    assert head.endswith(b"From: Eve <eve@example.com>\nTo: b@example.net\nSubject: hello")
    assert body == b"lottery winner\n"


def test_spamc_when_it_asks_for_headers_puts_the_same_message_together(asked: Asked) -> None:
    """``--headers`` sends the header only; spamc adds the body it has."""
    answer, crlf = _spamc(asked, "--headers"), _spamc(asked, "--headers", mail=SPAM.replace(b"\n", b"\r\n"))

    assert answer.text.endswith(b"Subject: hello\n\nlottery winner\n")
    assert crlf.text.endswith(b"Subject: hello\r\n\r\nlottery winner\r\n")
    assert crlf.text.replace(b"\r\n", b"\n")[60:] == answer.text[60:]


@pytest.mark.parametrize(
    ("option", "pattern"),
    [
        ("-y", rb"SPAM,FILTERD_ID_[0-9a-f]{32}"),
        ("-R", rb"1\d\.\d/5\.0\nSpam filter .*\nX-Filterd-Id: [0-9a-f]{32}\n(?s:.*)1\d\.\d SPAM\n"),
        ("-r", rb"Spam filter .*\n(?s:.*)SPAM\n"),
        ("-K", rb"SPAMD/1.5 0\n"),
    ],
    ids=["symbols", "report", "report-if-spam", "ping"],
)
def test_spamc_when_asked_in_another_way_understands_the_answer(asked: Asked, option: str, pattern: bytes) -> None:
    """Every way of asking that spamc has is answered as it expects."""
    answer = _spamc(asked, option)

    assert answer.code == 0
    assert re.fullmatch(pattern, answer.text.replace(b"\r\n", b"\n"))


def test_spamc_when_a_user_says_spam_makes_near_copies_spam_until_it_is_forgotten(asked: Asked) -> None:
    """A message we have never seen is learned from, once per user, and taken back."""
    told = len(asked.filterd.events("feedback.added"))
    before = _spamc(asked, "-c", mail=NEWS)
    learned = _spamc(asked, "-L", "spam", mail=NEWS)
    again = _spamc(asked, "-L", "spam", mail=NEWS)
    wait_until(lambda: _spamc(asked, "-c", mail=NEWS).code == 1, "the report acts")
    forgotten = _spamc(asked, "-L", "forget", mail=NEWS)
    wait_until(lambda: _spamc(asked, "-c", mail=NEWS).code == 0, "it acts no longer")

    assert before.code == 0
    assert {answer.text for answer in (learned, again, forgotten)} == {b"Message successfully un/learned\n"}
    added = asked.filterd.events("feedback.added")[told:]
    labels = [(event["label"], event["origin"], event["new"]) for event in added]
    assert labels == [("spam", "spamd", True), ("spam", "spamd", False)]


def test_spamc_when_a_filtered_message_is_reported_labels_the_verdict_it_was_given(asked: Asked) -> None:
    """The id in the header of a message that spamc filtered is the one that is labelled."""
    delivered = _spamc(asked, mail=HAM).text
    answer = _spamc(asked, "-L", "ham", mail=delivered)

    found = re.match(rb"X-Filterd-Id: ([0-9a-f]{32})", delivered)
    assert found is not None
    assert answer.text == b"Message successfully un/learned\n"
    assert asked.filterd.events("feedback.added")[-1]["id"] == found[1].decode()


def test_verdict_when_spamc_asked_is_recorded_as_advice(asked: Asked) -> None:
    """What was only asked about is logged and counted as told, not as held or passed on."""
    _spamc(asked, "-c")

    event = asked.filterd.events("message.judged")[-1]
    assert (event["action"], event["outcome"], event["peer"]) == ("quarantine", "advised", "SPAMC")


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("options", [(), ("-c",), ("-R",), ("-L", "spam")], ids=["filter", "check", "report", "tell"])
async def test_spamc_when_nothing_can_be_scored_ends_with_an_error(options: tuple[str, ...]) -> None:
    """With -x no answer of ours makes spamc end as it does for ham."""
    world = World()
    world.scanner.failure = ScanDown()
    async with world.spamd():
        where = ("-d", "127.0.0.1", "-p", str(world.port), "-x")
        answer = await asyncio.to_thread(spamc.run, "usr/bin/spamc", *where, *options, mail=SPAM)

    assert answer.code == 74
