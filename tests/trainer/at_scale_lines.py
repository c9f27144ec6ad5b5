"""Small corpora and pasts in Parquet, for tests of engines."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filterd.core.envelope import Channel, MessageId
from filterd.core.message import ParseLimits
from filterd.core.verdict import Action
from filterd.core.verdict import Label as Said
from filterd.feedback_ports import PastMessage
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import packaged_models
from trainer import parquet, rows
from trainer.example import Example, Label

from .archives import sentence

SMS = packaged_models() / "sms"
START = datetime(2026, 1, 1, tzinfo=UTC)


def examples(count: int) -> list[Example]:
    """Ham and spam of two corpora, one in ten nearly a copy of one before."""
    rng = random.Random(7)
    made: list[Example] = []
    for i in range(count):
        spam = bool(i % 2)
        text = sentence(rng, spam=spam, words=18)
        if i > 20 and i % 10 < 2:
            text = f"{made[i - 20].raw.decode()} {i}"
        date = START + timedelta(hours=rng.randrange(9000)) if i % 4 < 2 else None
        label = Label.SPAM if spam else Label.HAM
        corpus = ("dated", "undated")[i % 4 // 2]
        raw = text.encode()
        made.append(Example(id=f"{i:06d}", corpus=corpus, channel=Channel.SMS, label=label, raw=raw, date=date))
    return made


def past(count: int) -> list[PastMessage]:
    """What a gateway has judged; one message cannot be read any more."""
    scorer = Scorer({Channel.SMS: LoadedModel.open(SMS, ParseLimits())}, ParseLimits(), keeps_inputs=True)
    made = []
    for n, example in enumerate(examples(count)):
        scan = scorer.scan(Channel.SMS, example.raw)
        made.append(
            PastMessage(
                id=MessageId(f"{n:032x}"),
                received_at=START + timedelta(minutes=n),
                sender="+15550001",
                recipients=("+15550002",),
                action=Action.ACCEPT,
                probability=scan.probability,
                label=Said.SPAM if n % 7 == 0 else None,
                hashing=scan.hashing if n else "0" * 12,
                tokens=scan.tokens,
            )
        )
    return made


def write_examples(location: str | Path, count: int) -> list[Example]:
    """The examples, and their Parquet in small groups."""
    made = examples(count)
    parquet.write(rows.example_tables(made), str(location), rows.EXAMPLES)
    return made
