"""A mail server that asks filterd as its milter, and a mailbox behind it: what the tests of each server share."""

from __future__ import annotations

import re
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filterd.demo.embedded import Ports
from tests.servers import gateway
from tests.servers.gateway import Gateway, wait_until

BODY = b"the agenda for Monday\r\n.\r\n..two dots\r\ntrailing space \r\n\tcaf\xc3\xa9 " + b"x" * 900 + b"\r\n\r\n"
TOP = b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nMessage-ID: <1@example.org>\r\n"
REST = b"Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nX-Odd:\t folded \r\n\tline  \r\nX-Near:by\r\nSubject: agenda\r\n"
HAM = TOP + REST + b"\r\n" + BODY
FORGED = (
    b"X-Spam-Flag: NO\r\n" + TOP + b"X-Filterd-Id: " + b"0" * 32 + b"\r\nx-spam-flag: NO\r\n" + REST + b"\r\n" + BODY
)
SPAM = TOP + REST + b"\r\nlottery winner\r\n"
RULES = """
[policy]
deny = ["192.0.2.66"]
allow = ["vouched.example.org"]
allow_needs_auth = true
[[policy.overrides]]
recipients = ["carol@example.net"]
enabled = false
[[policy.overrides]]
recipients = ["refuse@example.net"]
quarantine_at = "off"
reject_at = "normal"
[[policy.overrides]]
recipients = ["tag@example.net"]
quarantine_at = "off"
subject_tag = "[SPAM]"
"""
_ABOVE = re.compile(rb"\A(?:(?:X-Spam-[A-Za-z-]+|X-Filterd-[A-Za-z-]+|Received|Return-Path):.*\r\n(?:[ \t].*\r\n)*)+")


@dataclass(slots=True, kw_only=True)
class Mail:
    """The public side of a mail server, filterd as its milter, and a mailbox."""

    port: int
    folder: Path
    filterd: Gateway
    seen: int = 0

    @contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A client that has said EHLO."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=60) as client:
            client.ehlo()
            yield client

    def send(self, raw: bytes, *recipients: str) -> tuple[int, bytes]:
        """The mail server's answer to the whole message of a client of its own."""
        with self.client() as client:
            return say(client, raw, *recipients)

    def arrives(self) -> bytes:
        """The next message in the mailbox."""
        self.seen += 1
        path = self.folder / f"{self.seen}.eml"
        wait_until(path.exists, f"message {self.seen} in the mailbox")
        return path.read_bytes()

    def judged(self) -> list[dict[str, object]]:
        """What was said of every message so far."""
        return self.filterd.events("message.judged")

    def held(self) -> list[str]:
        """The ids of the messages in the quarantine."""
        with sqlite3.connect(f"file:{self.filterd.root}/state/filterd.db?mode=ro", uri=True) as database:
            return [id for (id,) in database.execute("SELECT id FROM held WHERE state = 'held' ORDER BY id")]


def say(client: smtplib.SMTP, raw: bytes, *recipients: str) -> tuple[int, bytes]:
    """The answer to a whole message."""
    assert client.mail("ann@example.org", ["BODY=8BITMIME"])[0] == 250
    for recipient in recipients or ("bob@example.net",):
        assert client.rcpt(recipient)[0] == 250
    client.putcmd("data")
    assert client.getreply()[0] == 354
    client.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
    return client.getreply()


def original(delivered: bytes) -> bytes:
    """``delivered`` without the lines that we and mail servers put in front."""
    found = _ABOVE.match(delivered)
    assert found is not None
    return delivered[found.end() :]


@contextmanager
def filtering(root: Path, *, milter_port: int, next_hop: int, milter: str = "") -> Iterator[Gateway]:
    """A filterd that is a milter; a file in ``failpoints`` below ``root`` strikes it, ``milter`` are more settings."""
    ports = Ports.free()
    (root / "failpoints").mkdir()
    extra = f'{RULES}\n[milter]\nlisten = ["127.0.0.1:{milter_port}"]\n{milter}'
    config = gateway.write_settings(root, ports, next_hop=next_hop, extra=extra)
    environ = {
        "FILTERD_FAILPOINTS": str(root / "failpoints"),
        "FILTERD_SMTP__TRUSTED_AUTHSERV_IDS": "auth.example.net",
    }
    with gateway.running(root, config, ports, environ=environ) as filterd:
        yield filterd
