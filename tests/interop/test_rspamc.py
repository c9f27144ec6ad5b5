"""The real daemon as Debian's rspamc sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Asked
from tests.servers import spamc
from tests.servers.gateway import wait_until
from tests.servers.spamc import Answer

pytestmark = [pytest.mark.real, pytest.mark.slow]

SPAM = b"From: Eve <eve@example.com>\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nlottery winner\r\n"
HAM = b"From: Ann <ann@example.org>\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nthe agenda for Monday\r\n"
NEWS = b"From: Dan <dan@example.org>\r\nTo: b@example.net\r\nSubject: news\r\n\r\n" + b" ".join(
    b"term%d" % number for number in range(60)
)


def _rspamc(asked: Asked, *arguments: str, mail: bytes = SPAM) -> Answer:
    return spamc.run("usr/bin/rspamc", "-h", f"127.0.0.1:{asked.rspamd}", *arguments, mail=mail)


def _symbols(asked: Asked, mail: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_rspamc(asked, "-j", "-d", "b@example.net", "symbols", mail=mail).text)
    return found


def _stat(asked: Asked) -> str:
    """What ``rspamc stat`` prints once something has been counted."""
    text = _rspamc(asked, "stat").text.decode()
    return "" if "Messages scanned: 0" in text else text


def test_rspamc_when_it_asks_prints_action_score_and_our_id(asked: Asked) -> None:
    """What administrators type to see what a filter thinks."""
    envelope = ("-F", "eve@example.com", "-r", "a@example.net", "-r", "b@example.net", "-i", "192.0.2.7", "--helo", "x")
    text = _rspamc(asked, *envelope, "symbols").text.decode()

    event = asked.filterd.events("message.judged")[-1]
    assert "Action: add header\nSpam: true\nScore: 20.10 / 15.00\n" in text
    assert f"Symbol: FILTERD_ID (0.00)[{event['id']}]\n" in text
    assert (event["outcome"], event["peer"], event["recipients"]) == ("advised", "192.0.2.7", 2)


def test_rspamc_when_the_message_is_ham_says_no_action(asked: Asked) -> None:
    """Below 6, which is where the first action starts."""
    found = _symbols(asked, HAM)

    assert (found["action"], found["score"] < 6) == ("no action", True)


def test_rspamc_when_it_teaches_spam_makes_near_copies_spam(asked: Asked) -> None:
    """With the password; a second time it is known; ham takes it back."""
    teach = ("-P", "s3cret", "-d", "b@example.net")
    before = _symbols(asked, NEWS)["action"]
    learned = _rspamc(asked, *teach, "learn_spam", mail=NEWS).text
    again = _rspamc(asked, *teach, "learn_spam", mail=NEWS).text
    wait_until(lambda: _symbols(asked, NEWS)["action"] == "add header", "the report acts")
    _rspamc(asked, *teach, "learn_ham", mail=NEWS)
    wait_until(lambda: _symbols(asked, NEWS)["action"] == "no action", "and is turned round")

    assert before == "no action"
    assert b"success = true;" in learned
    assert b'error = "already learned";' in again


def test_c2_rspamc_without_the_password_teaches_nothing(asked: Asked) -> None:
    """It may ask all the same."""
    told = len(asked.filterd.events("feedback.added"))
    answer = _rspamc(asked, "learn_ham", mail=HAM)

    assert b"401" in answer.text
    assert len(asked.filterd.events("feedback.added")) == told


def test_rspamc_stat_prints_counts(asked: Asked) -> None:
    """Messages that were asked about, in rspamd's words."""
    _symbols(asked, SPAM)
    text = wait_until(lambda: _stat(asked), "the verdict is counted")

    assert "Messages with action add header: " in text


def test_rspamc_when_it_compresses_hears_that_this_is_not_taken(asked: Asked, tmp_path: Path) -> None:
    """A zstd body is refused, and never taken for a message."""
    path = tmp_path / "mail.eml"
    path.write_bytes(SPAM)
    judged = len(asked.filterd.events("message.judged"))
    answer = _rspamc(asked, "-z", "symbols", str(path))

    assert b"400" in answer.text
    assert len(asked.filterd.events("message.judged")) == judged
