"""A spam that the model lets through is forwarded to the report address, or moved to Junk; the next copies are held."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.servers.missed_spam import EFFECT_SECONDS, Gateway, filled, gateway

ANN = "ann@inbox.example"
LEARNING = """\
[learning]
report_spam_to = "spam@inbox.example"
report_ham_to = "ham@inbox.example"
reporters = ["inbox.example"]
report_networks = ["127.0.0.1/32"]
spool_dir = "{spool}"
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path, extra=LEARNING.format(spool=tmp_path / "spool")) as made:
        yield made


def delivered(running: Gateway, id: object) -> bytes:
    """The mail as the next hop got it."""
    folder = running.config.parent / "delivered"
    return next(
        raw for raw in (path.read_bytes() for path in folder.rglob("*") if path.is_file()) if str(id).encode() in raw
    )


def report(running: Gateway, mail: bytes, to: str, sender: str = ANN) -> tuple[int, bytes]:
    """The reply to a forward of ``mail`` as an attachment."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, "Fwd: your file"
    message.set_content("This one is spam.\n")
    message.add_attachment(message_from_bytes(mail, policy=policy.SMTP))
    with smtplib.SMTP("127.0.0.1", running.ports.smtp, local_hostname="client.example", timeout=30) as client:
        client.ehlo()
        client.mail(sender)
        code, text = client.rcpt(to)
        if code != 250:
            return code, text
        return client.data(message.as_bytes(policy=policy.SMTP))


@pytest.mark.slow
def test_report_by_mail_and_the_next_reworded_copy_is_held_until_it_is_reported_as_ham(running: Gateway) -> None:
    missed = running.send(filled())
    assert missed["action"] == "accept"
    mail = delivered(running, missed["id"])

    assert report(running, mail, "spam@inbox.example", "eve@letters.example")[0] == 550
    assert report(running, mail, "spam@inbox.example") == (250, b"2.0.0 Ok, 1 reported as spam")
    time.sleep(EFFECT_SECONDS)
    held = running.send(filled("Ms Miller", "Agent 7", "morning"))

    assert (held["action"], held["reason"], held["outcome"]) == ("quarantine", "reported", "held")

    assert report(running, mail, "ham@inbox.example") == (250, b"2.0.0 Ok, 1 reported as ham")
    time.sleep(EFFECT_SECONDS)

    assert running.send(filled("Ms Miller", "Agent 8", "morning"))["action"] == "accept"


@pytest.mark.slow
def test_mail_moved_into_the_spool_is_reported_and_gone(running: Gateway) -> None:
    missed = running.send(filled())
    spool = running.config.parent / "spool"
    draft = spool / "spam/.1"
    draft.write_bytes(delivered(running, missed["id"]).replace(b"\r\n", b"\n"))
    draft.rename(spool / f"spam/1,r={ANN}")
    deadline = time.monotonic() + 10
    while any((spool / "spam").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(EFFECT_SECONDS)

    held = running.send(filled("Ms Miller", "Agent 7", "morning"))

    assert (held["reason"], held["outcome"]) == ("reported", "held")
    assert str(held["detail"]).startswith("spam to recipient")
