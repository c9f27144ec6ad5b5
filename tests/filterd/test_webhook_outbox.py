"""The background worker: ham is forwarded until it arrives, and what could not be judged is judged later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from filterd.core.envelope import MessageId
from filterd.errors import NotFound, RelayUnavailable, StoreUnavailable
from filterd.ports import ForwardRequest, VerdictRow
from tests.filterd.webhook_line import Line, header


async def test_forward_when_the_customer_fails_then_it_is_tried_again_with_growing_delays() -> None:
    line = Line()
    await line.call(line.sms_call("generic", "see you at noon"))
    line.forwarder.failure = RelayUnavailable("the customer's URL answered 500")

    waits = []
    for _ in range(10):
        await line.work_all()
        failures = line.metrics.sms_forward_failures.labels("generic")._value.get()
        waited = 0
        while line.metrics.sms_forward_failures.labels("generic")._value.get() == failures:
            line.clock.advance(10)
            waited += 10
            await line.work_all()
        waits.append(waited)

    assert waits[:4] == [30, 30, 60, 120]
    assert waits[-1] == 3600
    assert "sms.forward_failed" in line.log.getvalue()
    line.forwarder.failure = None
    line.clock.advance(3600)
    await line.work_all()
    assert len(line.forwarder.sent) == 1


async def test_forward_when_one_message_fails_then_the_others_are_forwarded() -> None:
    line = Line()
    for i in range(5):
        await line.call(line.sms_call("generic", f"number {i}", id=f"id-{i}"))
    real = line.forwarder.forward

    async def forward(request: ForwardRequest) -> None:
        if b"number 2" in request.body:
            raise LookupError("a bug")
        await real(request)

    line.forwarder.forward = forward  # type: ignore[method-assign]  # one message only
    await line.work_all()

    assert len(line.forwarder.sent) == 4
    assert "session.failed" in line.log.getvalue()


async def test_forward_when_the_worker_dies_with_work_in_hand_then_the_next_one_repeats_it() -> None:
    line = Line()
    await line.call(line.sms_call("generic", "see you at noon"))
    await line.store.claim_work(limit=10, lease_seconds=90)  # and dies
    await line.work_all()
    assert line.forwarder.sent == []

    line.clock.advance(91)
    await line.work_all()

    assert len(line.forwarder.sent) == 1


async def test_forward_when_the_verdict_was_not_recorded_then_none_is_made_up() -> None:
    line = Line()
    call = line.sms_call("generic", "see you at noon")
    adapter = line.webhooks.adapter("generic")
    assert adapter is not None
    (part,) = adapter.parse(call, line.clock.now())
    await line.store.receive(part, MessageId("1" * 32))
    await line.store.decided(MessageId("1" * 32), forward=True)

    await line.work_all()

    (sent,) = line.forwarder.sent
    assert header(sent, "x-filterd-id") == "1" * 32
    assert header(sent, "x-filterd-verdict") == ""


async def test_forward_when_the_verdict_comes_a_moment_late_then_the_customer_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line()
    await line.call(line.sms_call("generic", "see you at noon"))
    found: Callable[[MessageId], Awaitable[Sequence[VerdictRow]]] = line.store.verdicts
    asked: list[MessageId] = []

    async def late(id: MessageId) -> Sequence[VerdictRow]:
        asked.append(id)
        if len(asked) == 1:
            raise NotFound("not yet")
        return await found(id)

    monkeypatch.setattr(line.store, "verdicts", late)

    await line.work_all()

    (sent,) = line.forwarder.sent
    assert header(sent, "x-filterd-verdict") == "accept"


async def test_run_when_a_message_is_received_then_the_worker_wakes_and_stops_cleanly() -> None:
    line = Line()
    running = asyncio.create_task(line.outbox.run())
    arrived = asyncio.Event()

    async def forward(request: ForwardRequest) -> None:
        line.forwarder.sent.append(request)
        arrived.set()

    line.forwarder.forward = forward  # type: ignore[method-assign]  # tells the test
    await asyncio.sleep(0)
    await line.call(line.sms_call("generic", "see you at noon"))
    async with asyncio.timeout(2):  # less than the idle time: it was woken
        await arrived.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(line.forwarder.sent) == 1


async def test_run_when_the_store_is_down_then_it_goes_on_when_it_is_back() -> None:
    line = Line()
    await line.call(line.sms_call("generic", "see you at noon"))
    line.store.failure = StoreUnavailable("down")
    running = asyncio.create_task(line.outbox.run())
    arrived = asyncio.Event()

    async def forward(request: ForwardRequest) -> None:  # the port is asynchronous
        arrived.set()

    line.forwarder.forward = forward  # type: ignore[method-assign]  # tells the test
    await asyncio.sleep(0.01)
    assert not running.done()

    line.store.failure = None
    line.outbox.wake()
    async with asyncio.timeout(2):
        await arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_forward_when_a_long_message_passes_then_each_part_is_forwarded_in_order_with_its_own_key() -> None:
    line = Line()
    for part in (2, 1):
        await line.call(line.part_call(part, 2, f"part {part}"))

    await line.work_all()

    assert [json.loads(sent.body)["part"] for sent in line.forwarder.sent] == [1, 2]
    keys = [header(sent, "idempotency-key") for sent in line.forwarder.sent]
    assert [key.rpartition("-")[2] for key in keys] == ["1", "2"]


async def test_release_when_a_held_sms_is_released_then_it_is_forwarded() -> None:
    line = Line()
    await line.call(line.sms_call("twilio", "SPAM or not"))
    (held,) = await line.store.list_held()
    line.clock.advance(7 * 24 * 3600)

    await line.store.decided(held.id, forward=True)
    await line.work_all()

    (sent,) = line.forwarder.sent
    assert b"SPAM+or+not" in sent.body
