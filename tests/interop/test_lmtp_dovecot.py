"""Postfix, filterd and Dovecot in a line that speaks LMTP, with ``deploy/postfix/lmtp`` as shipped."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner, Result

from filterd.cli import build
from filterd.demo.embedded import Ports
from filterd.errors import RelayUnavailable
from tests.servers import dovecot, gateway, postfix
from tests.servers.dovecot import Dovecot
from tests.servers.gateway import Gateway, wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

USERS = {
    "ann@example.net": "",
    "bob@example.net": "",
    "full@example.net": "userdb_quota_rule=*:bytes=1",
    "late@example.net": "userdb_quota_rule=*:bytes=1",
    "one@example.net": "",
    "two@example.net": "",
}
HAM = (
    "From: Ann <ann@example.org>\r\nTo: all@example.net\r\nSubject: {0}\r\nMessage-ID: <{0}@example.org>\r\n"
    "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n\r\nthe agenda for Monday\r\n.\r\n..two dots\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The whole chain: Postfix, filterd, Dovecot."""

    mta: postfix.Postfix
    filterd: Gateway
    lmtp: int
    store: Dovecot


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """Started once: each test writes to its own subject."""
    dovecot.require()
    postfix.require()
    root = tmp_path_factory.mktemp("lmtp")
    ports, lmtp = Ports.free(), free_port()
    with ExitStack() as stack:
        store = stack.enter_context(dovecot.running(USERS))
        extra = f'[lmtp]\nlisten = ["127.0.0.1:{lmtp}"]\n[policy]\nquarantine_at = "normal"\n'
        extra += '[[policy.overrides]]\nrecipients = ["bob@example.net"]\nquarantine_at = "off"\nreject_at = "normal"\n'
        config = gateway.write_settings(root, ports, next_hop=0, extra=extra)
        text = config.read_text(encoding="utf-8").replace(
            'next_hop = "127.0.0.1:0"', f'next_hop = "unix:{store.socket}"\nnext_hop_protocol = "lmtp"'
        )
        config.write_text(text, encoding="utf-8")
        filterd = stack.enter_context(gateway.running(root, config, ports))
        snippet = (postfix.SNIPPETS / "lmtp/main.cf").read_text(encoding="utf-8").replace("10024", str(lmtp))
        main = f"{snippet}virtual_mailbox_domains = example.net\nvirtual_mailbox_maps =\nrelay_domains =\n"
        by_smtp = ", ".join(f"{name}@example.net=smtp:[127.0.0.1]:{ports.smtp}" for name in ("one", "two"))
        main += f"transport_maps = inline:{{ {by_smtp} }}\nsmtp_destination_recipient_limit = 1\n"
        mta = stack.enter_context(postfix.running(None, destination=free_port(), main=main))
        yield Mail(mta=mta, filterd=filterd, lmtp=lmtp, store=store)


class Lmtp(smtplib.SMTP):
    """A client that reads a reply for each recipient; the one in the standard library knows of one."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, local_hostname="client.example", timeout=60)
        assert self.docmd("LHLO", "client.example")[0] == 250

    def deliver(self, text: str, *recipients: str) -> list[int]:
        """The codes that the recipients' mail was answered with, or the recipients themselves."""
        assert self.mail("ann@example.org")[0] == 250
        codes = [self.rcpt(recipient)[0] for recipient in recipients]
        assert self.docmd("DATA")[0] == 354
        self.send(text.replace("\r\n.", "\r\n..").encode() + b".\r\n")
        return [self.getreply()[0] if code == 250 else code for code in codes]


def _outcomes(filterd: Gateway) -> tuple[float, ...]:
    """How many messages were held and how many refused."""
    names = [f'filterd_outcomes_total{{channel="email",outcome="{name}"}}' for name in ("held", "refused")]
    return tuple(filterd.metric(name) for name in names)


def test_each_recipient_hears_what_became_of_their_own_mail(mail: Mail) -> None:
    """Delivered, over quota, unknown: Dovecot's replies come back one by one, and the mail is where they say."""
    with Lmtp(mail.lmtp) as client:
        codes = client.deliver(
            HAM.format("each"), "ann@example.net", "full@example.net", "nobody@example.net", "bob@example.net"
        )

    assert codes == [250, 552, 550, 250]
    for user, count in (("ann@example.net", 1), ("full@example.net", 0), ("bob@example.net", 1)):
        found = [raw for raw in mail.store.messages(user) if b"Subject: each" in raw]
        assert len(found) == count, user


def test_spam_is_held_for_one_and_refused_for_another_in_one_message(mail: Mail) -> None:
    """Rules of one recipient do not reach another: LMTP has a reply for each, so nothing is a compromise."""
    with Lmtp(mail.lmtp) as client:
        before = _outcomes(mail.filterd)
        codes = client.deliver(HAM.format("lottery winner"), "ann@example.net", "bob@example.net")

    assert codes == [250, 550]
    wait_until(lambda: _outcomes(mail.filterd) == (before[0] + 1, before[1] + 1))
    assert all(b"Subject: lottery" not in raw for user in USERS for raw in mail.store.messages(user))


def test_mail_through_postfix_arrives_and_only_who_is_over_quota_bounces(mail: Mail) -> None:
    with smtplib.SMTP("127.0.0.1", mail.mta.port, local_hostname="client.example", timeout=60) as client:
        client.sendmail("ann@example.org", ["ann@example.net", "late@example.net"], HAM.format("chain").encode())
    wait_until(lambda: "to=<late@example.net>" in mail.mta.log() and "to=<ann@example.net>" in mail.mta.log())

    log = mail.mta.log()
    (arrived,) = [raw for raw in mail.store.messages("ann@example.net") if b"Subject: chain" in raw]
    assert arrived.partition(b"\r\n\r\n")[2] == HAM.partition("\r\n\r\n")[2].encode()
    assert arrived.count(b"X-Filterd-Id:") == 1
    assert [line for line in log.splitlines() if "to=<ann@example.net>" in line and "status=sent (250" in line]
    assert [line for line in log.splitlines() if "to=<late@example.net>" in line and "said: 552" in line]
    judged = next(event for event in mail.filterd.events("message.judged") if event["outcome"] == "relayed")
    assert judged["peer"] == "127.0.0.1"


def test_mail_for_two_by_smtp_reaches_both_by_a_message_each(mail: Mail) -> None:
    """One SMTP reply cannot speak for two of Dovecot's: a client is asked to send one recipient at a time."""
    with smtplib.SMTP("127.0.0.1", mail.mta.port, local_hostname="client.example", timeout=60) as client:
        client.sendmail("ann@example.org", ["one@example.net", "two@example.net"], HAM.format("apart").encode())
    wait_until(lambda: mail.mta.log().count("@example.net>, relay=127.0.0.1[127.0.0.1]:" + str(_smtp(mail))) == 2)

    for user in ("one@example.net", "two@example.net"):
        assert len([raw for raw in mail.store.messages(user) if b"Subject: apart" in raw]) == 1
    with smtplib.SMTP("127.0.0.1", _smtp(mail), local_hostname="client.example", timeout=60) as client:
        refused = client.sendmail(
            "ann@example.org", ["one@example.net", "two@example.net"], HAM.format("both").encode()
        )
    assert {who: code for who, (code, _) in refused.items()} == {"two@example.net": 452}


def test_release_reaches_whom_it_can_and_holds_the_rest(mail: Mail) -> None:
    """Of a message that was held for two, the one who is over quota keeps nobody's copy back."""
    with Lmtp(mail.lmtp) as client:
        assert client.deliver(HAM.format("the lottery winner is"), "one@example.net", "late@example.net") == [250, 250]
    (row,) = [line for line in _filterd(mail, "list").stdout.splitlines() if "the lottery winner is" in line]
    released = _filterd(mail, "release", row.split()[0])

    assert isinstance(released.exception, RelayUnavailable)
    assert "552" in released.exception.detail
    assert any(b"Subject: the lottery winner is" in raw for raw in mail.store.messages("one@example.net"))
    (left,) = [line for line in _filterd(mail, "list").stdout.splitlines() if "the lottery winner is" in line]
    assert "late@example.net" in left
    assert "one@example.net" not in left


def _filterd(mail: Mail, *words: str) -> Result:
    """A command about the quarantine."""
    return CliRunner().invoke(build(), ["quarantine", *words, "--config", str(mail.filterd.config)])


def _smtp(mail: Mail) -> int:
    return mail.filterd.ports.smtp
