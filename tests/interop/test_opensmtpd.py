"""A real OpenSMTPD with filterd behind its queue, by ``deploy/opensmtpd/smtpd.conf``."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers import gateway, opensmtpd
from tests.servers.gateway import wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

HEAD = "From: Eve <eve@example.com>\r\nTo: b@example.net\r\nX-Spam-Flag: NO\r\nSubject: hello\r\n\r\n"
SPAM, TAGGED, HAM = (f"{HEAD}{text}\r\n" for text in ("lottery winner", "winner", "the agenda for Monday"))


def test_opensmtpd_when_it_relays_through_the_filter_delivers_once_and_spam_is_held(tmp_path: Path) -> None:
    """What comes back is delivered and not filtered again; spam stays in the quarantine."""
    opensmtpd.require()
    ports, back = Ports.free(), free_port()
    config = gateway.write_settings(tmp_path, ports, next_hop=back)
    config.write_text(config.read_text().replace("[smtp]\n", '[smtp]\nposition = "after-queue"\n'))
    with (
        on_a_thread(MailSink(tmp_path / "mailbox")) as destination,
        opensmtpd.running(filter_port=ports.smtp, return_port=back, destination=destination) as port,
        gateway.running(tmp_path, config, ports) as filterd,
    ):
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            for mail in (SPAM, TAGGED, HAM):
                client.sendmail("eve@example.com", ["b@example.net"], mail)
        wait_until(lambda: len(filterd.events("message.judged")) == 3, "all are judged")
        wait_until(lambda: len(list((tmp_path / "mailbox").glob("*.eml"))) == 2, "two are delivered")
        mails = [path.read_text() for path in (tmp_path / "mailbox").glob("*.eml")]
        outcomes = sorted(event["outcome"] for event in filterd.events("message.judged"))

    passed, marked = sorted(mails, key=lambda mail: "winner" in mail)
    assert outcomes == ["held", "relayed", "relayed"]
    assert ("X-Spam-Flag: YES" in marked, "X-Spam-Flag: NO" in marked, "YES" in passed) == (True, False, False)
    assert [mail.count("X-Filterd-Id:") for mail in mails] == [1, 1]
