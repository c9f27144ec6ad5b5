"""Real Postfix in front of filterd and behind it, with the snippets of ``deploy/postfix``."""

from __future__ import annotations

import base64
import re
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers import gateway, postfix
from tests.servers.gateway import Gateway, wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

HAM = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?agenda?=\r\n"
    b"Message-ID: <1@example.org>\r\nDate: Thu, 1 Jan 2026 10:00:00 +0000\r\n"
    b"X-Odd:\t folded \r\n\tline  \r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b"the agenda for Monday\r\n.\r\n..two dots\r\ntrailing space \r\n\tcaf\xc3\xa9 " + b"x" * 900 + b"\r\n\r\n"
)
SPAM = (
    b"From: Eve <eve@example.com>\r\nTo: bob@example.net\r\nSubject: hello\r\nMessage-ID: <2@example.com>\r\n"
    b"Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n\r\nlottery winner\r\n"
)
OURS = re.compile(rb"(?m)^(X-Spam-[A-Za-z-]+|X-Filterd-[A-Za-z-]+|Received|Return-Path):.*\r\n(?:[ \t].*\r\n)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The whole chain: Postfix, filterd, Postfix, a mailbox."""

    mta: postfix.Postfix
    folder: Path
    start_filter: Callable[[], Gateway]

    def send(self, raw: bytes, recipient: str = "bob@example.net") -> tuple[int, bytes]:
        """Postfix's answer to the whole message, or to the recipient where it refuses that."""
        with smtplib.SMTP("127.0.0.1", self.mta.port, local_hostname="client.example", timeout=120) as client:
            client.ehlo()
            assert client.mail("ann@example.org", ["BODY=8BITMIME"])[0] == 250
            code, text = client.rcpt(recipient)
            if code != 250:
                return code, text
            client.putcmd("data")
            assert client.getreply()[0] == 354
            client.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
            return client.getreply()

    def arrived(self) -> list[bytes]:
        """What is in the mailbox."""
        return [path.read_bytes() for path in sorted(self.folder.glob("*.eml"))]

    def arrives(self, count: int = 1) -> list[bytes]:
        """The mailbox once it holds ``count`` messages."""
        try:
            wait_until(lambda: len(self.arrived()) >= count)
        except AssertionError as exc:
            raise AssertionError(self.mta.log()) from exc
        return self.arrived()


@contextmanager
def chain(root: Path, position: str, *, options: tuple[str, ...] = (), extra: str = "") -> Iterator[Mail]:
    """Everything but the filter, which the test starts itself."""
    postfix.require()
    ports, back = Ports.free(), free_port()
    position_line = f'position = "{position}"\n'
    with ExitStack() as stack:
        destination = stack.enter_context(on_a_thread(MailSink(root / "mailbox")))
        config = gateway.write_settings(root, ports, next_hop=back, extra=extra)
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("[smtp]\n", f"[smtp]\n{position_line}"), encoding="utf-8")
        mta = stack.enter_context(
            postfix.running(
                position, filter_port=ports.smtp, return_port=back, destination=destination, options=options
            )
        )
        yield Mail(
            mta=mta,
            folder=root / "mailbox",
            start_filter=lambda: stack.enter_context(gateway.running(root, config, ports)),
        )


def _original(delivered: bytes) -> bytes:
    """``delivered`` without the lines that we and the two Postfixes put in front."""
    at = 0
    while found := OURS.match(delivered, at):
        at = found.end()
    return delivered[at:]


POSITIONS = pytest.mark.parametrize(
    ("position", "options"),
    [("before-queue", ()), ("before-queue", ("smtpd_proxy_options=speed_adjust",)), ("after-queue", ())],
    ids=["before-queue", "speed-adjust", "after-queue"],
)


@POSITIONS
def test_ham_arrives_byte_identical_but_for_our_block(tmp_path: Path, position: str, options: tuple[str, ...]) -> None:
    with chain(tmp_path, position, options=options) as mail:
        mail.start_filter()
        code, _ = mail.send(HAM)
        (delivered,) = mail.arrives()

    assert code == 250
    assert _original(delivered) == HAM
    assert delivered.count(b"X-Filterd-Id:") == 1
    assert b"X-Spam-Flag: YES" not in delivered


@POSITIONS
def test_spam_is_held_and_the_sender_hears_250(tmp_path: Path, position: str, options: tuple[str, ...]) -> None:
    with chain(tmp_path, position, options=options) as mail:
        filterd = mail.start_filter()
        code, _ = mail.send(SPAM)
        wait_until(lambda: filterd.metric('filterd_outcomes_total{channel="email",outcome="held"}') == 1)
        mail.send(HAM)
        delivered = mail.arrives()

    assert code == 250
    assert len(delivered) == 1


def _signed(raw: bytes) -> tuple[bytes, Callable[..., bytes]]:
    """``raw`` with a DKIM signature, and the DNS that verifies it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signature = dkim.sign(
        raw,
        b"test",
        b"example.org",
        pem,
        canonicalize=(b"simple", b"simple"),
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id", b"x-odd"],
    )
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    return signature.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + raw, lambda *_args, **_more: record


@POSITIONS
def test_dkim_signature_still_verifies(tmp_path: Path, position: str, options: tuple[str, ...]) -> None:
    signed, dns = _signed(HAM)
    with chain(tmp_path, position, options=options) as mail:
        mail.start_filter()
        mail.send(signed)
        (delivered,) = mail.arrives()

    assert dkim.verify(delivered, dnsfunc=dns)
    assert not dkim.verify(delivered.replace(b"agenda for", b"agenda  for"), dnsfunc=dns)


def test_spam_is_refused_while_the_sender_is_connected(tmp_path: Path) -> None:
    extra = '[policy]\nquarantine_at = "off"\nreject_at = "normal"\n'
    with chain(tmp_path, "before-queue", extra=extra) as mail:
        mail.start_filter()
        code, text = mail.send(SPAM)

    assert code == 550
    assert b"5.7.1" in text
    assert mail.arrived() == []


def test_before_queue_without_filter_the_sender_is_asked_to_try_again(tmp_path: Path) -> None:
    with chain(tmp_path, "before-queue") as mail:
        code, _ = mail.send(HAM)
        assert code == 451

        mail.start_filter()
        code, _ = mail.send(HAM)
        assert code == 250
        assert len(mail.arrives()) == 1


def test_after_queue_without_filter_mail_waits_in_the_queue_and_arrives_once(tmp_path: Path) -> None:
    with chain(tmp_path, "after-queue") as mail:
        code, _ = mail.send(HAM)
        wait_until(lambda: "status=deferred" in mail.mta.log())
        assert code == 250
        assert mail.mta.queued() == 1

        mail.start_filter()
        mail.mta.flush()
        (delivered,) = mail.arrives()
        wait_until(lambda: mail.mta.queued() == 0)

    assert _original(delivered) == HAM


def test_after_queue_when_we_tempfail_postfix_tries_again_and_nothing_bounces(tmp_path: Path) -> None:
    with chain(tmp_path, "after-queue", extra="[store]\nmin_free_bytes = 1_000_000_000_000_000_000\n") as mail:
        filterd = mail.start_filter()
        mail.send(SPAM)
        mail.send(HAM)
        wait_until(lambda: mail.mta.log().count("452 4.3.1") >= 2)
        filterd.process.terminate()
        filterd.process.wait(60)
        assert mail.arrived() == []
        assert "status=bounced" not in mail.mta.log()

        settings = filterd.config.read_text(encoding="utf-8")
        filterd.config.write_text(re.sub("min_free_bytes = .*", "min_free_bytes = 0", settings), encoding="utf-8")
        filterd = mail.start_filter()
        mail.mta.flush()
        delivered = mail.arrives()
        wait_until(lambda: mail.mta.queued() == 0)

    assert [_original(each) for each in delivered] == [HAM]


def test_client_behind_postfix_is_known_by_its_address(tmp_path: Path) -> None:
    """XFORWARD reaches us: the verdict names Postfix's client, and a deny entry for it holds the message."""
    with chain(tmp_path, "before-queue", extra='[policy]\ndeny = ["127.0.0.1"]\n') as mail:
        filterd = mail.start_filter()
        mail.send(HAM)
        wait_until(lambda: filterd.events("message.judged"))

    (judged,) = filterd.events("message.judged")
    assert judged["reason"] == "denied"
    assert judged["peer"] == "127.0.0.1"
