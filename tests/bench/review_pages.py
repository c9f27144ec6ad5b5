"""What the pages ask of a full quarantine: every reach with every filter, by each database.

``python -m tests.bench.review_pages [held messages]``. Told are the worst of the questions and the middle one, by
processor time: other work on the machine disturbs that least.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from filterd.clock import SystemClock
from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel
from filterd.core.verdict import Reason
from filterd.ports import HeldState
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from tests.bench.full_quarantine import DOMAINS, END, fill
from tests.servers import postgres

_TRIES = 3
_TIMEOUT_SECONDS = 300.0
REACHES = {
    "everybody": EVERYBODY,
    "a domain": Reach(domains=frozenset({"d3.example"})),
    "3 domains": Reach(domains=frozenset({"d3.example", "d4.example", "d5.example"})),
    "an address": Reach(addresses=frozenset({"p77@d17.example"})),
    "60 addresses": Reach(addresses=frozenset(f"p{n}@d{n % DOMAINS}.example" for n in range(60))),
    "nobody": Reach(addresses=frozenset({"nobody@d1.example"})),
}
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "text": {"text": "offer 9"},
    "text that is not there": {"text": "xyzzy"},
    "sender": {"sender": "s123@"},
    "recipient": {"recipient": "p77@"},
    "days": {"since": END - timedelta(days=20), "until": END - timedelta(days=19)},
    "reason": {"reasons": frozenset({Reason.SPAM})},
    "reason that is not there": {"reasons": frozenset({Reason.DENIED})},
    "probability": {"least_probability": 0.5, "most_probability": 0.9},
    "channel": {"channel": Channel.SMS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Milliseconds of one question."""

    by_the_clock: float
    of_processors: float
    """Of this process and of the database's own that answered; less than the former where something waited."""


async def taken(ask: Callable[[], Awaitable[Any]], servers: Sequence[int]) -> Taken:
    """The least of a few tries, each by itself: other work on the machine only adds."""
    tries = []
    for _ in range(_TRIES):
        began, spent = time.perf_counter(), _spent(servers)
        await ask()
        tries.append((time.perf_counter() - began, _spent(servers) - spent))
    clock, processors = (min(each) * 1e3 for each in zip(*tries, strict=True))
    return Taken(by_the_clock=clock, of_processors=processors)


def _spent(servers: Sequence[int]) -> float:
    """Seconds of processor time so far; ``servers`` are processes of PostgreSQL."""
    theirs = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in servers)
    return time.process_time() + theirs / 1e9


async def measure(name: str, store: SqlStore) -> None:
    """Print the worst question and the middle one."""
    servers = await store._read(_servers)
    last = (await store.review.list_held(HeldQuery(limit=50)))[-1].id
    for what, asks in (
        ("quarantine", lambda **q: store.review.page_held(HeldQuery(limit=51, **q))),
        ("any state", lambda **q: store.review.page_held(HeldQuery(states=frozenset(HeldState), limit=51, **q))),
        ("history", lambda **q: store.review.history(VerdictQuery(limit=51, **q))),
    ):
        found: dict[str, Taken] = {}
        for who, reach in REACHES.items():
            for by, filters in {**FILTERS, "second page": {"before": last}}.items():
                found[f"{who}, {by}"] = await taken(partial(asks, reach=reach, **filters), servers)
        ranked = sorted(found.items(), key=lambda item: item[1].of_processors)
        middle, worst = ranked[len(ranked) // 2], ranked[-1]
        for place, (which, each) in (("middle", middle), ("worst", worst)):
            told = f"{each.of_processors:.0f} ms of processors, {each.by_the_clock:.0f} ms by the clock"
            print(f"{name}, {what}, {place}: {told} ({which})", flush=True)


def _servers(connection: Connection) -> Sequence[int]:
    """The processes that answer us."""
    if connection.dialect.name == "sqlite":
        return ()
    ours = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'client%'")
    return tuple(connection.scalars(ours))


@asynccontextmanager
async def databases(stack: AsyncExitStack) -> AsyncIterator[dict[str, str]]:
    """Name -> URL of an empty one."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    found = {"SQLite": f"sqlite:///{folder / 's.db'}"}
    programs = postgres.find_programs()
    if programs is not None:
        server = stack.enter_context(postgres.running(programs))
        found["PostgreSQL"] = await stack.enter_async_context(postgres.fresh_database(server))
    yield found


async def main(count: int) -> None:
    """Measure each database in turn."""
    async with AsyncExitStack() as stack, databases(stack) as found:
        for name, url in found.items():
            async with SqlStore(database_url(url, ""), clock=SystemClock(), timeout_seconds=_TIMEOUT_SECONDS) as store:
                await store.migrate()
                await fill(store, count)
                await measure(name, store)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
