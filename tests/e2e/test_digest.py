"""A held spam is told of by mail; following the links changes nothing, and the button delivers it once."""

from __future__ import annotations

import contextlib
import http.client
import re
import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports, command
from filterd.demo.sink import MailSink, on_a_thread
from tests.filterd.digest_mailbox import parsed, text_of
from tests.servers.gateway import PATIENCE_SECONDS, Gateway, running, wait_until, write_settings

BOB = "bob@example.net"
SPAM = "From: Eve <eve@example.com>\r\nSubject: hello\r\n\r\nlottery winner\r\n"
SETTINGS = """
[web]
public_url = "http://127.0.0.1:{http}"
[web.digest]
sender = "filter@example.net"
at = "{at:%H:%M}"
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Two workers whose digest is due in the next minute but one, and an account for Bob."""
    ports = Ports.free()
    settings = SETTINGS.format(http=ports.http, at=datetime.now(UTC) + timedelta(seconds=75))
    with on_a_thread(MailSink(tmp_path / "delivered")) as next_hop:
        config = write_settings(tmp_path, ports, next_hop=next_hop, workers=2, extra=settings)
        command(config, "account", "add", BOB)
        with running(tmp_path, config, ports) as found:
            yield found


def ask(gateway: Gateway, method: str, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.ports.http, timeout=30)) as connection:
        connection.request(method, path, headers={"content-length": "0"} if method == "POST" else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def delivered(gateway: Gateway) -> list[bytes]:
    """What the next hop took, oldest first."""
    paths = (gateway.root / "delivered").glob("*.eml")
    return [path.read_bytes() for path in sorted(paths, key=lambda path: int(path.stem))]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_d10_held_message_is_told_of_once_and_released_once_by_its_link(gateway: Gateway) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.ports.smtp, local_hostname="client.example", timeout=30) as client:
        client.sendmail("eve@example.com", [BOB], SPAM)
    assert not delivered(gateway)
    # The slot, and a look at the clock every half minute.
    wait_until(lambda: delivered(gateway), "the digest", seconds=2 * PATIENCE_SECONDS)

    (mail,) = map(parsed, delivered(gateway))
    assert mail["to"] == BOB
    links = re.findall(r"http://127\.0\.0\.1:\d+(/d/\S+)", text_of(mail))
    assert len(links) == 4
    for method in ("GET", "HEAD") * 2:
        for link in links:
            assert ask(gateway, method, link)[0] == 200
    assert len(delivered(gateway)) == 1
    assert gateway.metric("filterd_quarantine_messages") == 1

    first, second = ask(gateway, "POST", links[0]), ask(gateway, "POST", links[0])

    assert "Done." in first[1]
    assert "used already" in second[1]
    assert "no longer in the quarantine" in ask(gateway, "POST", links[3])[1]
    _, released = delivered(gateway)
    assert b"lottery winner" in released
    assert gateway.metric('filterd_digests_total{result="sent"}') == 1
    assert len(gateway.events("digest.sent")) == 1
    assert BOB not in (gateway.root / "log").read_text(encoding="utf-8")
    assert links[0].removeprefix("/d/") not in (gateway.root / "log").read_text(encoding="utf-8")
