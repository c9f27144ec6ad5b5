"""The SMS line of two workers on one SQLite file: what holds in one process holds between them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from filterd.errors import RelayUnavailable
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock
from tests.filterd.webhook_line import Line, RecordingForwarder, header


@asynccontextmanager
async def workers(folder: Path, clock: FixedClock, forwarder: RecordingForwarder) -> AsyncIterator[list[Line]]:
    """Two lines, each with its own connection to the same file."""
    async with AsyncExitStack() as stack:
        lines = []
        for _ in range(2):
            store = await stack.enter_async_context(SqlStore(database_url(f"sqlite:///{folder}/s.db", ""), clock=clock))
            await store.migrate()
            lines.append(Line(clock=clock, forwarder=forwarder, store=store))
        yield lines


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def forwarder() -> RecordingForwarder:
    return RecordingForwarder()


@pytest.fixture
async def lines(tmp_path: Path, clock: FixedClock, forwarder: RecordingForwarder) -> AsyncIterator[list[Line]]:
    async with workers(tmp_path, clock, forwarder) as lines:
        yield lines


def delivered(forwarder: RecordingForwarder) -> Counter[str]:
    return Counter(json.loads(request.body)["id"] for request in forwarder.sent)


async def test_work_when_two_workers_look_for_work_then_each_message_is_forwarded_once(
    lines: list[Line], forwarder: RecordingForwarder
) -> None:
    calls = [lines[0].sms_call("generic", f"number {i} ☕", id=f"id-{i}") for i in range(20)]
    replies = await asyncio.gather(*(lines[i % 2].call(call) for i, call in enumerate(calls)))

    await asyncio.gather(*(line.work_all() for line in lines))

    assert {reply.status for reply in replies} == {200}
    assert delivered(forwarder) == Counter({f"id-{i}": 1 for i in range(20)})
    assert {header(sent, "x-filterd-verdict") for sent in forwarder.sent} == {"accept"}


async def test_receive_when_the_parts_reach_different_workers_then_they_are_put_together(lines: list[Line]) -> None:
    await asyncio.gather(
        lines[0].call(lines[0].part_call(2, 3, "er: SP")),
        lines[1].call(lines[1].part_call(3, 3, "AM, now")),
        lines[0].call(lines[0].part_call(1, 3, "an off")),
    )

    (held,) = await lines[1].store.list_held()
    assert (await lines[1].store.held(held.id)).raw == b"an offer: SPAM, now"


async def test_receive_when_the_other_worker_had_it_then_it_is_a_duplicate(
    lines: list[Line], forwarder: RecordingForwarder
) -> None:
    call = lines[0].sms_call("generic", "see you at noon")

    await lines[0].call(call)
    await lines[1].call(call)
    await asyncio.gather(*(line.work_all() for line in lines))

    assert lines[1].counted("generic", "duplicate") == 1
    assert sum(delivered(forwarder).values()) == 1


async def test_work_when_the_daemon_restarts_then_what_was_answered_is_still_forwarded(
    tmp_path: Path, clock: FixedClock, forwarder: RecordingForwarder
) -> None:
    forwarder.failure = RelayUnavailable("down")
    async with workers(tmp_path, clock, forwarder) as lines:
        call = lines[0].sms_call("twilio", "see you & yours ☕")
        await lines[0].call(call)
        await lines[0].work_all()
    forwarder.failure = None
    clock.advance(31)

    async with workers(tmp_path, clock, forwarder) as lines:
        await lines[1].work_all()

    (sent,) = forwarder.sent
    assert sent.body == call.body
