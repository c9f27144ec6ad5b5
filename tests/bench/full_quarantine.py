"""A quarantine with very many held messages, written in large batches past the way that a message takes."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, text

from filterd.clock import mint_id
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.verdict import Evidence
from filterd.store import held_rows, recipients, verdicts
from filterd.store.held_rows import NewHeld
from filterd.store.recipients import HeldRecipientRecord
from filterd.store.schema import HeldRecord
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, a_scan
from tests.contract.stores import HOLD

_BATCH = 5_000
_BODY_BYTES = 2_000
PEOPLE, DOMAINS = 2_000, 20
DAYS = 30
END = datetime(2026, 6, 1, tzinfo=UTC)
_EVIDENCE = tuple(Evidence(token=f"word{n}", weight=1 / (n + 1)) for n in range(8))
SPAM = replace(HOLD, scan=replace(a_scan(0.97), evidence=_EVIDENCE))


async def fill(store: SqlStore, count: int) -> None:
    """Hold ``count`` messages of 2 KB, from the oldest to the newest."""
    rng = random.Random(1)
    for first in range(0, count, _BATCH):
        numbers = range(first, min(first + _BATCH, count))
        held = list(_rows(numbers, count, rng))
        await store._write(partial(_write, held=held), timeout_seconds=300.0)
        print(f"\r{numbers[-1] + 1:,} held", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    await store._write(_settle, timeout_seconds=300.0)


def envelope(number: int, count: int, rng: random.Random) -> Envelope:
    """One of messages over 30 days, to one to three people."""
    people = rng.sample(range(PEOPLE), rng.choice((1, 1, 1, 2, 3)))
    at = END - timedelta(days=DAYS * (1 - number / count))
    return Envelope(
        id=mint_id(FixedClock(at)),
        channel=Channel.EMAIL,
        sender=f"s{rng.randrange(5_000)}@spam{rng.randrange(300)}.example",
        recipients=tuple(Recipient(address=f"p{n}@d{n % DOMAINS}.example") for n in people),
        received_at=at,
    )


def _rows(numbers: Sequence[int], count: int, rng: random.Random) -> Iterator[NewHeld]:
    for number in numbers:
        raw = b"Subject: offer %d\r\n\r\n" % number + rng.randbytes(_BODY_BYTES)
        yield held_rows.prepare(envelope(number, count, rng), raw, SPAM, pending=False, now=END)


def _write(connection: Connection, held: Sequence[NewHeld]) -> None:
    """The rows that ``quarantine.hold`` and ``verdicts.record`` would have written, with one statement a table."""
    connection.execute(insert(HeldRecord), [new.held for new in held])
    owners = [
        {"held_id": new.held["id"], **columns}
        for new in held
        for columns in recipients.columns_of(new.held["recipients"])
    ]
    connection.execute(insert(HeldRecipientRecord), owners)
    verdicts.record(connection, [new.verdict for new in held])


def _settle(connection: Connection) -> None:
    """What PostgreSQL's upkeep has done a minute later; SQLite has none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("ANALYZE"))
