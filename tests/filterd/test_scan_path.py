"""The scan path before the model may not grow half as slow again: its CPU time against a task of the same kind.

The task is plain Python of fixed work, timed in the same rounds, so that a slow or busy machine slows both. Each ratio
is the least of several rounds; the limits are a quarter above what was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from tests.filterd import composed

_ROUNDS = 7
_LIMITS = {Channel.EMAIL: 51.0, Channel.SMS: 6.2}
"""Cost of a message in reference tasks; 41 and 4.9 when this was written."""


def _reference() -> int:
    """Words counted by length: dictionaries, strings and small integers, as on the path itself."""
    counts: dict[str, int] = {}
    for word in (" the quick brown fox %d jumps over the lazy dog " * 12).split():
        key = word.lower().strip(".,")
        counts[key] = counts.get(key, 0) + len(key)
    return len(counts)


def _cpu(task: Callable[[], object]) -> float:
    started = time.process_time()
    task()
    return time.process_time() - started


def ratio(channel: Channel) -> float:
    """CPU time of one message over that of one reference task, each the least of the rounds."""
    extractor = Extractor(channel, DEFAULT_HASHING[channel], ParseLimits(), Domains())
    compose, count = (composed.mail, 12) if channel is Channel.EMAIL else (composed.sms, 100)
    raws = [compose(seed) for seed in range(count)]
    path, task = [], []
    for _ in range(_ROUNDS):
        path.append(_cpu(lambda: [extractor(raw) for raw in raws]))
        task.append(_cpu(lambda: [_reference() for _ in range(200)]))
    return (min(path[1:]) / count) / (min(task[1:]) / 200)


@pytest.mark.parametrize("channel", list(Channel))
def test_extract_costs_no_more_than_it_did(channel: Channel) -> None:
    # A burst of other work may spoil some measurements, not eight.
    assert any(ratio(channel) < _LIMITS[channel] for _ in range(8))
