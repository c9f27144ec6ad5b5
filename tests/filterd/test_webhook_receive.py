"""One webhook call from signature to answer, against the in-memory store and the real pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlencode

import pytest

from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.policy import Rule
from filterd.core.verdict import Reason, Scan
from filterd.edges.webhooks import generic, twilio
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import ScanDown, StoreFull, StoreUnavailable
from filterd.ports import HeldState
from filterd.testing import FakeScanner
from tests.filterd.webhook_line import BASE, CUSTOMER, TOKEN, WHSEC, Line, header

# --- ham and spam ----------------------------------------------------------------------------------------------------


async def test_receive_when_ham_then_it_is_forwarded_with_the_verdict_in_headers_only() -> None:
    line = Line()
    call = line.sms_call("generic", "see you at noon")

    reply = await line.call(call)
    await line.work_all()

    assert reply.status == 200
    (sent,) = line.forwarder.sent
    assert (sent.method, sent.url, sent.body) == ("POST", CUSTOMER, call.body)
    assert header(sent, "x-filterd-verdict") == "accept"
    assert header(sent, "x-filterd-probability") == "0.010"
    (row,) = await line.store.verdicts(MessageId(header(sent, "x-filterd-id")))
    assert (row.channel, row.sender, row.recipients, row.peer) == (
        Channel.SMS,
        "+15005550001",
        ("+15005550006",),
        "generic",
    )


async def test_receive_when_spam_then_it_is_held_and_never_forwarded() -> None:
    line = Line()

    reply = await line.call(line.sms_call("generic", "SPAM offer"))
    await line.work_all()

    assert reply.status == 200
    assert line.forwarder.sent == []
    (held,) = await line.store.list_held()
    assert (held.state, held.reason) == (HeldState.HELD, Reason.SPAM)
    assert (await line.store.held(held.id)).raw == b"SPAM offer"


async def test_receive_when_spam_is_to_be_tagged_then_it_is_forwarded_with_its_verdict() -> None:
    line = Line({"spam_delivery": "tag"})

    await line.call(line.sms_call("generic", "SPAM offer"))
    await line.work_all()

    (sent,) = line.forwarder.sent
    assert header(sent, "x-filterd-verdict") == "quarantine"
    assert header(sent, "x-filterd-probability") == "0.990"


async def test_receive_when_spam_is_rejected_then_it_is_swallowed() -> None:
    line = Line(rule=Rule(reject_at="lenient"))

    reply = await line.call(line.sms_call("generic", "SPAM offer"))
    await line.work_all()

    assert reply.status == 200
    assert line.forwarder.sent == []
    assert await line.store.list_held() == ()


async def test_receive_when_there_is_no_customer_url_then_ham_stays_in_the_store() -> None:
    line = Line({"generic": {"deliver_url": ""}})

    reply = await line.call(line.sms_call("generic", "see you at noon"))
    await line.work_all()

    assert reply.status == 200
    assert line.forwarder.sent == []


async def test_receive_when_the_text_is_not_encodable_then_it_is_judged_all_the_same() -> None:
    """A lone surrogate or a NUL would otherwise break the scanner's frame or the database."""
    line = Line()
    body = b'{"id": "x", "from": "1", "to": "2", "text": "a\\ud800b\\u0000 SPAM"}'
    headers = generic.signed_headers(generic.key_of(WHSEC), "x", line.clock.now(), body)
    call = WebhookRequest(method="POST", url=f"{BASE}/webhooks/generic", query="", headers=headers, body=body)

    reply = await line.call(call)

    assert reply.status == 200
    (held,) = await line.store.list_held()
    assert (await line.store.held(held.id)).raw.decode() == "a\ufffdb\ufffd SPAM"


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_d1_receive_when_the_signature_is_wrong_then_nothing_is_stored_and_the_text_is_constant() -> None:
    line = Line()
    call = line.sms_call("generic", "see you at noon")
    replies = [
        await line.call(
            WebhookRequest(method="POST", url=call.url, query="", headers=(*call.headers[:-1], other), body=call.body)
        )
        for other in (("webhook-signature", "v1,AAAA"), ("webhook-signature", ""), ("x", "y"))
    ]

    assert {(r.status, r.body) for r in replies} == {(403, b"invalid signature\n")}
    assert line.counted("generic", "bad_signature") == 3
    assert line.scanner.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b'{"a": ' + b"1" * 10_000 + b"}",
        b'{"from": "1", "to": "2"}',
        b'{"from": "1", "to": "2", "text": null}',
        b'{"from": "", "to": "2", "text": "x"}',
        b'{"from": "1", "to": "2", "text": "x", "text": "y"}',
        b'{"from": "1", "to": "2", "text": NaN}',
        b'{"from": "1", "to": "2", "text": "x", "parts": 2, "part": 3, "reference": "r"}',
        b'{"from": "1", "to": "2", "text": "x", "parts": 256, "part": 1, "reference": "r"}',
        b'{"from": "1", "to": "2", "text": "x", "parts": 2, "part": 1}',
        b'{"from": "1", "to": "2", "text": "x", "id": "' + b"i" * 256 + b'"}',
    ],
)
async def test_receive_when_a_signed_body_is_not_as_documented_then_422(body: bytes) -> None:
    line = Line()
    headers = generic.signed_headers(generic.key_of(WHSEC), "x", line.clock.now(), body)
    call = WebhookRequest(method="POST", url=f"{BASE}/webhooks/generic", query="", headers=headers, body=body)

    reply = await line.call(call)

    assert reply.status == 422
    assert line.counted("generic", "bad_payload") == 1


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), StoreFull(), RuntimeError("bug")])
async def test_receive_when_the_message_cannot_be_stored_then_503_asks_the_provider_to_try_again(
    failure: Exception,
) -> None:
    line = Line()
    line.store.failure = failure

    reply = await line.call(line.sms_call("generic", "see you at noon"))

    assert (reply.status, dict(reply.headers)) == (503, {"retry-after": "30"})
    assert b"bug" not in reply.body
    assert line.counted("generic", "unavailable") == 1
    line.store.failure = None
    assert (await line.call(line.sms_call("generic", "see you at noon"))).status == 200


async def test_d15_receive_when_a_call_is_refused_then_the_log_has_no_text_and_no_number() -> None:
    line = Line()
    call = line.sms_call("twilio", "canary-text")

    await line.call(WebhookRequest(method="POST", url=call.url, query="", headers=(), body=call.body))
    await line.call(call)
    await line.work_all()

    assert "canary" not in line.log.getvalue()
    assert "5005550001" not in line.log.getvalue()
    assert "webhook.refused" in line.log.getvalue()


async def test_receive_when_the_event_is_not_a_message_then_200_and_nothing_is_stored() -> None:
    line = Line()
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered", "From": "+1", "To": "+2"}
    made = line.sms_call("twilio", "x")
    headers = (
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-twilio-signature", twilio.signature(TOKEN, made.url, fields.items())),
    )
    call = WebhookRequest(method="POST", url=made.url, query="", headers=headers, body=urlencode(fields).encode())

    reply = await line.call(call)

    assert reply.status == 200
    assert line.scanner.seen == []


# --- once and only once ----------------------------------------------------------------------------------------------


async def test_d3_receive_when_a_call_is_repeated_then_it_is_judged_and_forwarded_once() -> None:
    line = Line()
    call = line.sms_call("generic", "see you at noon")

    replies = [await line.call(call) for _ in range(3)]
    await line.work_all()

    assert {r.status for r in replies} == {200}
    assert len({r.body for r in replies}) == 1
    assert len(line.scanner.seen) == 1
    assert len(line.forwarder.sent) == 1
    assert (line.counted("generic", "accepted"), line.counted("generic", "duplicate")) == (1, 2)


async def test_d3_receive_when_a_call_is_repeated_while_it_is_judged_then_it_is_judged_once() -> None:
    line = Line()
    call = line.sms_call("generic", "see you at noon")

    replies = await asyncio.gather(*(line.call(call) for _ in range(5)))
    await line.work_all()

    assert {r.status for r in replies} == {200}
    assert len(line.forwarder.sent) == 1


async def test_receive_when_nothing_can_be_scored_then_200_and_the_worker_judges_it_later() -> None:
    """The row is committed: asking the provider to repeat itself would gain nothing."""
    line = Line()
    line.scanner.failure = ScanDown()

    reply = await line.call(line.sms_call("generic", "see you at noon"))
    await line.work_all()

    assert reply.status == 200
    assert line.forwarder.sent == []
    line.scanner.failure = None
    line.clock.advance(31)
    await line.work_all()
    assert len(line.forwarder.sent) == 1


async def test_receive_when_a_repeated_call_finds_it_undecided_then_it_is_judged_then() -> None:
    line = Line()
    line.scanner.failure = ScanDown()
    call = line.sms_call("generic", "see you at noon")
    await line.call(call)
    line.scanner.failure = None

    await line.call(call)
    await line.work_all()

    assert len(line.forwarder.sent) == 1


class SlowScanner(FakeScanner):
    """Scores nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        await self.gate.wait()
        return await super().scan(envelope, raw)


async def test_receive_when_the_scan_takes_too_long_then_200_in_time_and_the_worker_judges_it() -> None:
    scanner = SlowScanner()
    line = Line(scanner=scanner)

    reply = await line.call(line.sms_call("generic", "see you at noon"), seconds=0.05)

    assert reply.status == 200
    scanner.gate.set()
    line.clock.advance(61)
    await line.work_all()
    assert len(line.forwarder.sent) == 1


class BrokenScanner(FakeScanner):
    """Has a bug."""

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        raise LookupError(raw.decode())


async def test_receive_when_a_bug_breaks_judging_then_200_and_the_log_has_no_text() -> None:
    line = Line(scanner=BrokenScanner())

    reply = await line.call(line.sms_call("generic", "canary-text"))
    line.clock.advance(61)
    await line.work_all()

    assert reply.status == 200
    assert "session.failed" in line.log.getvalue()
    assert "canary" not in line.log.getvalue()


# --- long messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (1, 1, 3, 2, 2)])
async def test_receive_when_parts_come_in_any_order_then_the_joined_text_is_judged_once(order: Sequence[int]) -> None:
    """A word cut by the part boundary counts: neither part alone is spam."""
    line = Line()
    texts = {1: "an offer: SP", 2: "AM, ", 3: "now"}

    for part in order:
        assert (await line.call(line.part_call(part, 3, texts[part]))).status == 200

    (held,) = await line.store.list_held()
    assert (await line.store.held(held.id)).raw == b"an offer: SPAM, now"
    assert line.counted("generic", "partial") == 2


async def test_receive_when_a_part_stays_away_then_what_came_is_judged_after_the_reassembly_time() -> None:
    line = Line()
    await line.call(line.part_call(2, 3, "half an offer: SPAM"))
    await line.work_all()
    assert await line.store.list_held() == ()

    line.clock.advance(line.settings.reassembly_seconds + 1)
    await line.work_all()

    assert len(await line.store.list_held()) == 1


# --- Twilio's redirect -----------------------------------------------------------------------------------------------


async def test_receive_when_twilio_redirects_then_ham_is_not_forwarded_by_us() -> None:
    line = Line({"twilio": {"reply": "redirect", "deliver_url": f"{CUSTOMER}?a=1&b=2"}})
    call = line.sms_call("twilio", "see you at noon")

    first, repeated = await line.call(call), await line.call(call)
    await line.work_all()

    assert b'<Redirect method="POST">https://customer.example.net/in?a=1&amp;b=2</Redirect>' in first.body
    assert repeated.body == first.body  # the first answer may have been lost on the way
    assert line.forwarder.sent == []
    assert len(await line.store.verdicts(line.scanner.seen[0])) == 1


async def test_receive_when_twilio_redirects_then_spam_gets_an_empty_answer() -> None:
    line = Line({"twilio": {"reply": "redirect"}})
    call = line.sms_call("twilio", "SPAM offer")

    replies = [await line.call(call), await line.call(call)]

    assert [r.body for r in replies] == [b'<?xml version="1.0" encoding="UTF-8"?><Response/>'] * 2


async def test_receive_when_twilio_redirects_but_it_is_judged_later_then_we_forward_it() -> None:
    line = Line({"twilio": {"reply": "redirect"}})
    line.scanner.failure = ScanDown()
    reply = await line.call(line.sms_call("twilio", "see you at noon"))
    line.scanner.failure = None
    line.clock.advance(31)

    await line.work_all()

    assert b"Redirect" not in reply.body
    assert len(line.forwarder.sent) == 1


async def test_receive_when_the_action_is_tag_then_it_is_forwarded_with_that_verdict() -> None:
    line = Line(rule=Rule(tag_at="lenient", quarantine_at=None))

    await line.call(line.sms_call("generic", "SPAM offer"))
    await line.work_all()

    (sent,) = line.forwarder.sent
    assert header(sent, "x-filterd-verdict") == "tag"
