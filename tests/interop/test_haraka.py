"""A real Haraka asks filterd by its plugins for rspamd and SpamAssassin, with the snippets of ``deploy/haraka``."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from filterd.demo.sink import MailSink, on_a_thread
from tests.interop.conftest import Asked
from tests.servers import haraka
from tests.servers.gateway import wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

HEAD = "From: Eve <eve@example.com>\r\nTo: b@example.net\r\nX-Spam-Flag: NO\r\nSubject: hello\r\n\r\n"
TAGGED, HAM = (f"{HEAD}{text}\r\n" for text in ("winner", "the agenda for Monday"))
PLUGINS = pytest.mark.parametrize("plugin", ["rspamd", "spamassassin"])


def _send(port: int, mail: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.example")
        client.mail("eve@example.com")
        client.rcpt("b@example.net")
        return client.data(mail)


@PLUGINS
def test_haraka_when_it_asks_marks_what_it_is_told_is_spam(asked: Asked, tmp_path: Path, plugin: str) -> None:
    """Ham passes unmarked, spam marked, a forged mark goes, and recipient and sender are known here."""
    port = asked.rspamd if plugin == "rspamd" else asked.spamd
    with (
        on_a_thread(MailSink(tmp_path / "mailbox")) as destination,
        haraka.running(tmp_path / "haraka", plugin, filter_port=port, destination=destination) as mta,
    ):
        replies = [_send(mta.port, mail) for mail in (HAM, TAGGED)]
        wait_until(lambda: len(list((tmp_path / "mailbox").glob("*.eml"))) == 2, "Haraka hands on")
        mails = [path.read_text() for path in (tmp_path / "mailbox").glob("*.eml")]

    passed, marked = sorted(mails, key=lambda mail: "winner" in mail)
    judged = asked.filterd.events("message.judged")[-2:]
    assert [code for code, _ in replies] == [250, 250], replies
    assert ("X-Spam-Flag: YES" in marked, "X-Spam-Flag: NO" in marked, "YES" in passed) == (True, False, False)
    assert [event["outcome"] for event in judged] == ["advised"] * 2
    if plugin == "rspamd":
        assert f"X-Filterd-Id: {judged[0]['id']}" in passed
        assert {(event["peer"], event["sender"].partition(":")[0]) for event in judged} == {
            ("127.0.0.1", "example.com")
        }


def test_haraka_when_the_filter_is_away_defers(tmp_path: Path) -> None:
    """Nothing passes unscanned by the rspamd plugin: the sender tries again."""
    with haraka.running(tmp_path, "rspamd", filter_port=free_port(), destination=free_port()) as mta:
        code, text = _send(mta.port, HAM)

    assert code == 450, text
