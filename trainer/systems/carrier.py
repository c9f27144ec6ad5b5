"""Messages as programs made for mail read them: one file each, an SMS carried as the body of a constant mail.

The carrier's headers are the same for every SMS, so that they tell nothing, and complete, so that no filter counts
their absence. Their date is not now: rules about the age of a message are switched off where a program has such.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example

_CARRIER = (
    b"From: Alex Example <alex@example.org>\n"
    b"To: Kim Example <kim@example.net>\n"
    b"Subject: Text message\n"
    b"Date: Mon, 01 Jun 2020 10:00:00 +0000\n"
    b"Message-ID: <sms@example.org>\n"
    b"MIME-Version: 1.0\n"
    b"Content-Type: text/plain; charset=utf-8\n"
    b"Content-Transfer-Encoding: 8bit\n"
    b"\n"
)


def as_mail(example: Example) -> bytes:
    """The message itself, or the SMS in its carrier."""
    return _CARRIER + example.raw + b"\n" if example.channel is Channel.SMS else example.raw


def write(examples: Sequence[Example], folder: Path) -> list[Path]:
    """Each example in a file of its own, numbered in this order."""
    paths = [folder / f"{number:06d}" for number in range(len(examples))]
    for path, example in zip(paths, examples, strict=True):
        path.write_bytes(as_mail(example))
    return paths
