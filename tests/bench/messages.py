"""The mails that every system gets, and the client that sends them as a process of its own."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass

from filterd.clock import SystemClock
from filterd.demo.messages import MAILS, as_email
from tests.bench.scan_path import corpus

_MESSAGES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What came of a run of ``tests.bench.load``."""

    milliseconds: list[float]
    """Per accepted message."""
    refused: int
    seconds: float


def sample() -> tuple[list[bytes], str]:
    """A thousand mails of the SpamAssassin corpus where it is there, else the demo's; and which."""
    mails = [raw for raw in corpus("email-spamassassin.tar.xz") if b"\n\n" in raw]
    if not mails:
        made = [as_email(mail, "bob@example.net", i, SystemClock()) for i, mail in enumerate(MAILS)]
        return made, "the mails of `make demo`"
    return random.Random(7).sample(mails, _MESSAGES), f"{_MESSAGES} mails of the SpamAssassin corpus"


def drive(protocol: str, port: int, connections: int, seconds: float, file: str) -> Answers:
    """Send the messages in ``file`` (``load.pack``) for so long."""
    arguments = [protocol, str(port), str(connections), str(seconds), file]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load", *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    return Answers(**json.loads(done.stdout))
