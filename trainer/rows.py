"""Examples and a gateway's past as rows of Parquet, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from itertools import islice
from typing import Any

import pyarrow as pa

from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action
from filterd.core.verdict import Label as Said
from filterd.feedback_ports import PastMessage
from trainer.example import Example, Label
from trainer.parquet import GROUP_ROWS

_MOMENT = pa.timestamp("us", tz="UTC")
_ABOUT = [
    pa.field("corpus", pa.string()),
    pa.field("id", pa.string()),
    pa.field("label", pa.string()),
    pa.field("date", _MOMENT),
    pa.field("group", pa.string()),
]
EXAMPLES = pa.schema([*_ABOUT, pa.field("channel", pa.string()), pa.field("raw", pa.binary())])
"""Labelled messages as they were received."""
READ = pa.schema(
    [*_ABOUT, pa.field("key", pa.binary()), pa.field("digest", pa.binary()), pa.field("tokens", pa.binary())]
)
"""The same as the model reads them, with what near-duplicates are found by; without a word."""
PREPARED = pa.schema([*READ, pa.field("cluster", pa.int64()), pa.field("split", pa.string())])
"""The same, divided."""
PAST = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("received_at", _MOMENT),
        pa.field("sender", pa.string()),
        pa.field("recipients", pa.list_(pa.string())),
        pa.field("action", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("label", pa.string()),
        pa.field("hashing", pa.string()),
        pa.field("tokens", pa.binary()),
    ]
)
"""Verdicts of a gateway with what the model read."""


def example_tables(examples: Iterable[Example]) -> Iterator[pa.Table]:
    """``EXAMPLES``."""
    for batch in _batches(examples):
        rows = [about(each) | {"channel": each.channel.value, "raw": each.raw} for each in batch]
        yield pa.Table.from_pylist(rows, schema=EXAMPLES)


def about(example: Example) -> dict[str, Any]:
    """What is known of an example besides its content."""
    return {
        "corpus": example.corpus,
        "id": example.id,
        "label": example.label.value,
        "date": example.date,
        "group": example.group,
    }


def example_from(row: dict[str, Any], channel: Channel) -> Example:
    """The example in a row; without its content where that has not been read."""
    return Example(
        id=row["id"],
        corpus=row["corpus"],
        channel=channel,
        label=Label(row["label"]),
        raw=row.get("raw", b""),
        date=None if row["date"] is None else row["date"].astimezone(UTC),
        group=row["group"] or "",
    )


def past_tables(past: Iterable[PastMessage]) -> Iterator[pa.Table]:
    """``PAST``."""
    for batch in _batches(past):
        rows = [
            {
                "id": each.id,
                "received_at": each.received_at,
                "sender": each.sender,
                "recipients": list(each.recipients),
                "action": each.action.value,
                "probability": each.probability,
                "label": each.label and each.label.value,
                "hashing": each.hashing,
                "tokens": each.tokens,
            }
            for each in batch
        ]
        yield pa.Table.from_pylist(rows, schema=PAST)


def past_from(row: dict[str, Any]) -> PastMessage:
    """The message in a row."""
    return PastMessage(
        id=MessageId(row["id"]),
        received_at=row["received_at"].astimezone(UTC),
        sender=row["sender"],
        recipients=tuple(row["recipients"]),
        action=Action(row["action"]),
        probability=row["probability"],
        label=None if row["label"] is None else Said(row["label"]),
        hashing=row["hashing"],
        tokens=row["tokens"],
    )


def _batches(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    source = iter(items)
    while batch := list(islice(source, GROUP_ROWS)):
        yield batch
