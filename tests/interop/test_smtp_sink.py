"""What the relay puts on the wire, as Postfix's own smtp-sink reads it (threat A2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from filterd.metrics import Metrics
from filterd.relay.smtp_client import SmtpRelay
from filterd.settings import SmtpSettings
from filterd.testing import an_envelope
from tests.filterd.smtp_dialogue import until
from tests.filterd.test_core_smtp_data import ENDINGS
from tests.servers import postfix
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real]


@contextmanager
def sink(folder: Path) -> Iterator[int]:
    """A running smtp-sink that writes each message to a file of ``folder``."""
    postfix.require()
    port = free_port()
    _open_to_all(folder)
    with postfix.smtp_sink(port, "-d", "%H%M%S.", folder=folder, backlog=10):
        yield port


def _open_to_all(folder: Path) -> None:
    """The sink gives up root before it writes."""
    folder.chmod(0o777)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)


def _dumps(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_a2_one_message_in_is_one_message_out(tmp_path: Path, ending: bytes) -> None:
    evil = b"first" + ending + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n.\r\n..\r\n"
    raw = b"Subject: x\r\n\r\n" + evil
    with sink(tmp_path) as port:
        settings = SmtpSettings(next_hop=f"127.0.0.1:{port}")
        async with SmtpRelay(settings, metrics=Metrics(CollectorRegistry()), hostname="gw.example") as relay:
            assert (await relay.send(an_envelope(), raw)).is_positive
        await until(lambda: any(_dumps(tmp_path)))
    (dump,) = _dumps(tmp_path)

    expected = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"Subject: x\n")[2]
    assert dump.partition(b"Subject: x\n")[2].rstrip(b"\n") == expected.rstrip(b"\n")
