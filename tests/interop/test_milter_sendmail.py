"""Real Sendmail, the protocol's home, with the snippet of ``deploy/sendmail``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from filterd.demo.embedded import command
from filterd.demo.sink import MailSink, on_a_thread
from tests.interop.milter_mail import FORGED, HAM, SPAM, Mail, filtering, original, say
from tests.servers import sendmail
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """Sendmail, filterd as its milter, and a mailbox."""
    sendmail.require()
    root = tmp_path_factory.mktemp("chain")
    back, port = free_port(), free_port()
    with ExitStack() as stack:
        destination = stack.enter_context(on_a_thread(MailSink(root / "mailbox")))
        filterd = stack.enter_context(filtering(root, milter_port=port, next_hop=back))
        mta = stack.enter_context(sendmail.running(milter_port=port, return_port=back, destination=destination))
        yield Mail(port=mta.port, folder=root / "mailbox", filterd=filterd)


def test_ham_arrives_with_our_headers_in_front_and_forged_ones_gone(mail: Mail) -> None:
    """The header fields are changed one by one, and the rest is the sender's."""
    assert mail.send(FORGED)[0] == 250
    delivered = mail.arrives()

    assert delivered.startswith(b"X-Filterd-Id: ")
    assert b"X-Spam-Status: No" in delivered
    assert original(delivered) == HAM


def test_spam_when_tagged_arrives_with_flag_and_subject(mail: Mail) -> None:
    """Headers say what it is, and the subject does."""
    mail.send(SPAM, "tag@example.net")
    delivered = mail.arrives()

    assert b"X-Spam-Flag: YES\r\n" in delivered
    assert b"\r\nSubject: [SPAM] agenda\r\n" in delivered


def test_recipients_are_split_and_what_is_held_arrives_once_released(mail: Mail) -> None:
    """One is delivered to, the other's part is held, taken off Sendmail's copy, and goes past the milter later."""
    assert mail.send(SPAM, "bob@example.net", "carol@example.net")[0] == 250
    delivered = mail.arrives()
    (held,) = [event for event in mail.judged()[-2:] if event["outcome"] == "held"]

    command(mail.filterd.config, "quarantine", "release", str(held["id"]))

    assert b"X-Filterd-Reason: allowed\r\n" in delivered
    assert mail.arrives().endswith(SPAM)


def test_two_messages_of_one_session_are_refused_and_accepted(mail: Mail) -> None:
    """The client hears our reply, and the connection goes on."""
    with mail.client() as client:
        refused = say(client, SPAM, "refuse@example.net")
        accepted = say(client, HAM)
    delivered = mail.arrives()

    assert (refused[0], refused[1][:5], accepted[0]) == (550, b"5.7.1", 250)
    assert original(delivered) == HAM
    assert mail.filterd.metric("filterd_session_errors_total") == 0
