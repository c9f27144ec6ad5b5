"""D15: no body, subject, address or number reaches a log line or a metric, whatever happens to the message."""

from __future__ import annotations

import smtplib
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from filterd.clock import SystemClock
from filterd.demo.embedded import Ports, daemon, get, write_config
from filterd.demo.keys import DemoKeys

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from runner import next_hop  # noqa: E402  # the folder is not a package

pytestmark = pytest.mark.slow

CANARIES = ("canarysender", "canaryrcpt", "canarysubject", "canarybody", "canaryhelo", "canaryauthor", "5550177123")
BODY = (
    b"From: canaryauthor@author.example\r\nSubject: canarysubject\r\nX-Spam-Status: No\r\n\r\ncanarybody canarybody\r\n"
)
SETTINGS = """\
[policy]
deny = ["denied.example"]
allow = ["allowed.example"]
"""


@pytest.mark.parametrize("fault", ["sink", "dot-554", "rcpt-550", "dot-silent", "down"])
def test_d15_log_and_metrics_when_messages_pass_fail_or_are_held_name_nobody(tmp_path: Path, fault: str) -> None:
    ports = Ports.free()
    keys = DemoKeys.generate()
    base = f"http://127.0.0.1:{ports.http}"
    log = tmp_path / "filterd.log"
    config = tmp_path / "filterd.toml"
    with next_hop(tmp_path / "delivered", fault) as hop:
        extra = SETTINGS + keys.as_toml(base, "http://127.0.0.1:1/canarypath")
        write_config(config, ports, state=tmp_path / "state", next_hop=hop, workers=1, extra=extra)
        with daemon(config, ports, log):
            for domain in ("allowed.example", "denied.example", "other.example"):
                _send(ports.smtp, f"canarysender@{domain}", BODY)
            _send(ports.smtp, "canarysender@other.example", b"Subject: canarysubject\n\ncanarybody\r\n")
            for is_signed in (True, False):
                _call(keys, base, is_signed=is_signed)
            metrics = get(f"http://127.0.0.1:{ports.admin}/metrics")
    text = log.read_text(encoding="utf-8")

    assert "message.judged" in text
    if fault not in {"rcpt-550", "down"}:
        assert "denied.example" in text, "the domain is there: the lines are about these messages"
    for canary in CANARIES:
        assert canary not in text.lower()
        assert canary not in metrics.lower()


def _send(port: int, sender: str, body: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="canaryhelo.example", timeout=60) as client:
        client.ehlo()
        client.mail(sender)
        code, _ = client.rcpt("canaryrcpt@inbox.example")
        if code == 250:
            # smtplib mends line ends of text only: these octets go out as they are.
            client.putcmd("data")
            client.getreply()
            client.send(body + b".\r\n")
            client.getreply()


def _call(keys: DemoKeys, base: str, *, is_signed: bool) -> None:
    url, headers, body = keys.sign(
        "generic",
        base,
        "sms1",
        sender="+15550177123",
        recipient="+15550177124",
        text="canarybody",
        clock=SystemClock(),
    )
    request = urllib.request.Request(url, data=body if is_signed else body + b" ", headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            response.read()
    except urllib.error.HTTPError as exc:
        exc.read()
