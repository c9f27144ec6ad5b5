"""A real Exim asks filterd in its content ACL, as SpamAssassin and as rspamd, with the snippets of ``deploy/exim``."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers import exim, gateway
from tests.servers.exim import Exim
from tests.servers.gateway import Gateway, wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

HEAD = "From: Eve <eve@example.com>\r\nTo: b@example.net\r\nX-Spam-Flag: NO\r\nSubject: hello\r\n\r\n"
SPAM, TAGGED, HAM = (f"{HEAD}{text}\r\n" for text in ("lottery winner " * 9, "winner", "the agenda for Monday"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Exim, the filter it asks, and where its mail goes."""

    mta: Exim
    folder: Path

    def send(self, mail: str, sender: str = "eve@example.com") -> tuple[int, bytes]:
        """Exim's reply to the message."""
        with smtplib.SMTP("127.0.0.1", self.mta.port, timeout=60) as client:
            client.ehlo("client.example")
            client.mail(sender)
            client.rcpt("b@example.net")
            return client.data(mail)

    def delivered(self, count: int) -> list[str]:
        """The messages that Exim has handed on, once there are ``count``."""
        wait_until(lambda: len(list(self.folder.glob("*.eml"))) >= count, "Exim hands on")
        return [path.read_bytes().decode().replace("\r\n", "\n") for path in self.folder.glob("*.eml")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A daemon that is only asked, and the port it is asked on."""

    filterd: Gateway
    port: int


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """One for all tests."""
    exim.require()
    root, ports, port = tmp_path_factory.mktemp("exim"), Ports.free(), free_port()
    extra = f'[spamd]\nlisten = ["127.0.0.1:{port}"]\nquarantine_as = "reject"\n[policy]\ntag_at = 0.01\n'
    config = gateway.write_settings(root, ports, next_hop=free_port(), extra=extra)
    with gateway.running(root, config, ports) as filterd:
        yield Filter(filterd=filterd, port=port)


VARIANTS = pytest.mark.parametrize("variant", ["spamassassin", "rspamd"])


@VARIANTS
def test_exim_when_it_asks_does_as_it_is_told(asked: Filter, tmp_path: Path, variant: str) -> None:
    """Ham passes with our id, some spam marked, much spam is refused, and a forged mark goes."""
    with (
        on_a_thread(MailSink(tmp_path)) as destination,
        exim.running(variant, filter_port=asked.port, destination=destination) as mta,
    ):
        site = Site(mta=mta, folder=tmp_path)
        replies = [site.send(mail) for mail in (HAM, TAGGED, SPAM)]
        passed, marked = sorted(site.delivered(2), key=lambda mail: "winner" in mail)

    judged = asked.filterd.events("message.judged")[-3:]
    assert [code for code, _ in replies] == [250, 250, 550], replies
    assert f"X-Filterd-Id: {judged[0]['id']}\n" in passed
    assert ("X-Spam-Flag" in passed, "X-Spam-Flag: YES" in marked, "X-Spam-Flag: NO" in marked) == (False, True, False)
    assert {event["peer"] for event in judged} == ({"SPAMC"} if variant == "spamassassin" else {"127.0.0.1"})
    assert len({event["sender"] for event in judged}) == 1
    assert judged[0]["sender"].startswith("example.com:")


@VARIANTS
def test_exim_when_the_filter_is_away_defers(tmp_path: Path, variant: str) -> None:
    """Nothing passes unscanned: the sender tries again."""
    exim.require()
    with exim.running(variant, filter_port=free_port(), destination=free_port()) as mta:
        code, text = Site(mta=mta, folder=tmp_path).send(HAM)

    assert code == 451, text
