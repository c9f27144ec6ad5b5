"""People teach by moving mail in IMAP: a real Dovecot with ``deploy/dovecot`` as shipped, and a real filterd."""

from __future__ import annotations

import imaplib
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from filterd.demo.embedded import Ports
from tests.servers import dovecot, gateway
from tests.servers.dovecot import Dovecot
from tests.servers.gateway import Gateway, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

ANN = "ann@example.net"
OFFER = (
    "Hello {name},\r\n\r\nour office has looked at the file once more and found that the balance may go to you this\r\n"
    "month. Kindly answer with your full name and a telephone number where we reach you in the {time}, and we will\r\n"
    "arrange the rest between us.\r\n"
)
NEWS = (
    "Dear {name},\r\n\r\nthe lottery of the parish fair was a success: the winner is the choir, and the {time}\r\n"
    "concert will be free for everybody who helped to sell the cards. Minutes of the meeting hang by the door.\r\n"
)
PRIZE = (
    "You are the lottery winner of the week. Tell us where the money should go, and hurry: it expires at midnight.\r\n"
)
"""The model knows two of the words above and tags both texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A filter in front of a mail store, and the folder between them."""

    filterd: Gateway
    store: Dovecot

    def send(self, subject: str, text: str) -> None:
        """Mail to Ann through the filter."""
        with smtplib.SMTP("127.0.0.1", self.filterd.ports.smtp, local_hostname="client.example", timeout=60) as client:
            head = f"From: Office <office@letters.example>\r\nTo: {ANN}\r\nSubject: {subject}\r\n\r\n"
            client.sendmail("office@letters.example", [ANN], (head + text).encode())

    def move(self, subject: str, source: str, target: str) -> None:
        """What a mail client does when somebody drags a message."""
        with self.store.mailbox(ANN) as client:
            client.select(source)
            (found,) = client.search(None, "SUBJECT", f'"{subject}"')[1]
            assert found, f"{subject} is not in {source}"
            imaplib.Commands["MOVE"] = ("SELECTED",)  # RFC 6851; the library does not know it
            status, said = client._simple_command("MOVE", found.decode(), target)
            assert status == "OK", said

    def labels(self) -> list[tuple[str, str]]:
        """Label and reporter of every report so far."""
        return [(event["label"], event["origin"]) for event in self.filterd.events("feedback.added")]

    def reason(self) -> str:
        """Why the last message was treated as it was."""
        return str(self.filterd.events("message.judged")[-1]["reason"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Started once: each test has texts of its own."""
    dovecot.require()
    root = tmp_path_factory.mktemp("imap")
    ports = Ports.free()
    with ExitStack() as stack:
        store = stack.enter_context(dovecot.running({ANN: ""}))
        extra = f'[learning]\nspool_dir = "{store.spool}"\n[policy]\nquarantine_at = "off"\n'
        config = gateway.write_settings(root, ports, next_hop=store.lmtp, extra=extra)
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("[smtp]\n", '[smtp]\nnext_hop_protocol = "lmtp"\n'), encoding="utf-8")
        filterd = stack.enter_context(gateway.running(root, config, ports))
        yield Site(filterd=filterd, store=store)


def test_moving_into_junk_reports_spam_and_a_near_copy_lands_there(site: Site) -> None:
    """What one user moves is known a moment later, for the mail of that user first."""
    site.send("your file", OFFER.format(name="Ann", time="evening"))
    site.move("your file", "INBOX", "Junk")
    wait_until(lambda: ("spam", "spool") in site.labels(), "a label")

    def is_filed() -> bool:
        site.send("the file", OFFER.format(name="Anna", time="morning"))
        return any(b"Subject: the file" in raw for raw in site.store.messages(ANN, "Junk"))

    wait_until(is_filed, "a near copy in Junk")
    assert site.reason() == "reported"


def test_moving_out_of_junk_reports_ham_and_a_near_copy_reaches_the_inbox(site: Site) -> None:
    """A wanted message that the model tags is wanted from then on."""
    site.send("the fair", NEWS.format(name="Ann", time="evening"))
    site.move("the fair", "Junk", "INBOX")
    wait_until(lambda: ("ham", "spool") in site.labels(), "a label")

    def is_delivered() -> bool:
        site.send("fair news", NEWS.format(name="Anna", time="morning"))
        return any(b"Subject: fair news" in raw for raw in site.store.messages(ANN))

    wait_until(is_delivered, "a near copy in the inbox")
    assert site.reason() == "reported"


def test_throwing_spam_away_reports_nothing(site: Site) -> None:
    """From Junk to Trash is tidying up: no label, and no file waits in the spool."""
    site.send("cards", PRIZE)
    before = len(site.labels())
    site.move("cards", "Junk", "Trash")
    # The scripts have run when the client is answered; a report by somebody else would come after them.
    assert len(site.store.messages(ANN, "Trash")) == 1
    assert [path for path in site.store.spool.rglob("*") if path.is_file()] == []
    assert len(site.labels()) == before
