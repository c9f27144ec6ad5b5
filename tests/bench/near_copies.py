"""A look for near copies among 200,000 reports, beside the plain way to do the same.

``python tests/bench/near_copies.py [reports]``. Told are the least and the middle of the looks, in microseconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from filterd.core.envelope import Channel, MessageId
from filterd.core.fingerprint import lanes
from filterd.core.near import NEAR_BITS
from filterd.core.near_table import Table
from filterd.core.reported import Report
from filterd.core.verdict import Label

START = datetime(2026, 1, 1, tzinfo=UTC)


def reports(count: int) -> Sequence[Report]:
    """Reports on unrelated texts."""
    rng = np.random.default_rng(0)
    return [
        Report(
            id=id,
            channel=Channel.EMAIL,
            message=MessageId(f"{id:032x}"),
            fingerprint=rng.bytes(32).hex(),
            label=Label.SPAM,
            reporter="ann",
            recipients=("ann@example.org",),
            given_at=START,
        )
        for id in range(count)
    ]


def plain(known: Sequence[Report]) -> Callable[[str], Sequence[Report]]:
    """Every fingerprint compared in full, by one expression."""
    rows = np.array([lanes(report.fingerprint) for report in known])

    def find(fingerprint: str) -> Sequence[Report]:
        bits = np.bitwise_count(rows ^ lanes(fingerprint)).sum(axis=1, dtype=np.uint16)
        return [known[row] for row in np.flatnonzero(bits <= NEAR_BITS).tolist()]

    return find


def looked(find: Callable[[str], Sequence[Report]], known: Sequence[Report], times: int) -> list[float]:
    """Microseconds of each look."""
    took = []
    for look in range(times):
        wanted = known[look % len(known)]
        started = time.perf_counter()
        found = find(wanted.fingerprint)
        took.append(1e6 * (time.perf_counter() - started))
        assert wanted in found
    return took


def main(count: int) -> None:
    """Print the table."""
    known = reports(count)
    table = Table[Report]()
    for report in known:
        table.add(report)
    # Not in turn: the plain way leaves nothing of the table in the caches.
    took = {"plain": looked(plain(known), known, 40), "table": looked(table.find, known, 400)}
    for name, times in took.items():
        print(f"{name}  least {min(times):6.0f}  middle {statistics.median(times):6.0f} us among {count} reports")
    print(f"ratio of the least {min(took['plain']) / min(took['table']):.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
