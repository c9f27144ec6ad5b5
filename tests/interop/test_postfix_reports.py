"""Reports by mail through a real Postfix with the snippets of ``deploy/postfix/reports``."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers import gateway, postfix
from tests.servers.gateway import Gateway, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

ANN, SPAM_TO = "ann@example.net", "spam@example.net"
LEARNING = """
[learning]
report_spam_to = "spam@example.net"
report_ham_to = "ham@example.net"
reporters = ["example.net"]
report_networks = ["127.0.0.2/32"]
"""
LOGINS = "smtpd_sender_login_maps = inline:{ ann@example.net=ann }\n"
EVERYBODY_HAS_LOGGED_IN = "reporters_only = permit_mynetworks, reject\n"
"""A private Postfix has nothing that could check a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A Postfix that people write to, filterd, and a mailbox behind it."""

    mta: postfix.Postfix
    filterd: Gateway
    folder: Path

    def delivered(self) -> bytes:
        """A mail that filterd passed."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "eve@example.com", ANN, "agenda"
        message.set_content("the agenda for Monday\n")
        assert _send(self.filterd.ports.smtp, "eve@example.com", ANN, message)[0] == 250
        (path,) = wait_until(lambda: sorted(self.folder.glob("*.eml")))
        return bytes(path.read_bytes())

    def report(self, mail: bytes) -> tuple[int, bytes]:
        """What Postfix says to Ann's forward of ``mail``."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = ANN, SPAM_TO, "Fwd"
        message.add_attachment(mail, maintype="application", subtype="octet-stream", filename="mail.eml")
        return _send(self.mta.port, ANN, SPAM_TO, message)


def _send(port: int, sender: str, recipient: str, message: EmailMessage) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=120) as client:
        client.ehlo()
        client.mail(sender)
        code, text = client.rcpt(recipient)
        return (code, text) if code != 250 else client.data(message.as_bytes(policy=SMTP))


@contextmanager
def chain(root: Path, main: str) -> Iterator[Mail]:
    postfix.require()
    ports = Ports.free()
    with ExitStack() as stack:
        mailbox = stack.enter_context(on_a_thread(MailSink(root / "mailbox")))
        config = gateway.write_settings(root, ports, next_hop=mailbox, extra=LEARNING)
        mta = stack.enter_context(
            postfix.running("reports", filter_port=ports.smtp, destination=mailbox, main=LOGINS + main)
        )
        filterd = stack.enter_context(gateway.running(root, config, ports))
        yield Mail(mta=mta, filterd=filterd, folder=root / "mailbox")


def test_report_of_who_has_logged_in_reaches_filterd_and_is_believed(tmp_path: Path) -> None:
    with chain(tmp_path, EVERYBODY_HAS_LOGGED_IN) as mail:
        assert mail.report(mail.delivered())[0] == 250
        added = wait_until(lambda: mail.filterd.events("feedback.added"), "a label")

    assert [(event["label"], event["origin"], event["new"]) for event in added] == [("spam", "mail", True)]


def test_report_of_who_has_not_is_refused_by_postfix_and_by_filterd(tmp_path: Path) -> None:
    with chain(tmp_path, "") as mail:
        delivered = mail.delivered()
        code, text = mail.report(delivered)
        direct = _send(mail.filterd.ports.smtp, ANN, SPAM_TO, EmailMessage())

        assert (code, text[:5]) == (554, b"5.7.1")
        assert (direct[0], direct[1][:5]) == (550, b"5.7.1")
        assert mail.filterd.events("feedback.added") == []
