"""LMTP (RFC 2033): its greeting, and a reply for each recipient that is true of that recipient alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from filterd.bootstrap_mail import mail_edges
from filterd.core.envelope import Envelope
from filterd.core.policy import Policy, Rule, Scope
from filterd.core.verdict import Action, Scan
from filterd.edges.lmtp import LmtpEdge
from filterd.edges.smtp_reports import ReportDesk
from filterd.errors import StoreUnavailable, Unscannable
from filterd.settings import Config, LearningSettings
from tests.filterd.smtp_dialogue import MESSAGE, SPAM, Client, NextHop, gateway

POLICY = Policy(
    overrides={
        "pass@example.net": Scope(rule=Rule(quarantine_at=None)),
        "full@example.net": Scope(rule=Rule(quarantine_at=None)),
        "strict@example.net": Scope(rule=Rule(quarantine_at=None, reject_at="normal")),
    }
)
LMTP: dict[str, Any] = {"kind": LmtpEdge, "next_hop_protocol": "lmtp"}


async def _deliver(client: Client, raw: bytes, *names: str) -> list[str]:
    """The replies to a message for these recipients, in order."""
    await client.say("MAIL FROM:<a@example.org>")
    for name in names:
        assert (await client.say(f"RCPT TO:<{name}@example.net>")).startswith("250")
    assert (await client.say("DATA")).startswith("354")
    client.send(raw + b".\r\n")
    return [await client.reply() for _ in names]


@pytest.mark.parametrize("line", ["EHLO client.example", "HELO client.example"], ids=["EHLO", "HELO"])
async def test_greeting_of_smtp_is_not_understood(line: str) -> None:
    """A server that speaks SMTP to this port finds out at once (RFC 2033 section 4.1)."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge) as gw:
        client = await gw.client(ehlo="")
        assert await client.reply() == "220 gw.example LMTP"

        assert (await client.say(line)).startswith("500")
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("503")
        assert (await client.say("LHLO client.example")).startswith("250-gw.example")


async def test_greeting_of_lmtp_is_not_understood_by_smtp() -> None:
    """The other way round it is the same."""
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="")
        await client.reply()

        assert (await client.say("LHLO client.example")).startswith("500")


async def test_trace_line_says_lmtp() -> None:
    """The Received line names the protocol (RFC 3848)."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge) as gw:
        await _deliver(await gw.client(), MESSAGE, "b")

        assert b" with LMTP id " in hop.messages[0]


async def test_data_without_an_accepted_recipient_is_refused() -> None:
    """There would be no reply to a message for nobody (RFC 2033 section 4.2)."""
    async with NextHop(answers={"RCPT": "550 5.1.1 nobody"}) as hop, gateway(hop, kind=LmtpEdge) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")
        await client.say("RCPT TO:<b@example.net>")

        assert (await client.say("DATA")).startswith("503")


async def test_each_recipient_hears_what_became_of_their_own_mail() -> None:
    """One message is held for one, delivered to the second, refused for the third and put off for the fourth."""
    async with (
        NextHop(lmtp_replies=["250 2.0.0 saved", "452 4.2.2 full"]) as hop,
        gateway(hop, policy=POLICY, **LMTP) as gw,
    ):
        replies = await _deliver(await gw.client(), SPAM, "strict", "hold", "pass", "full")

        assert replies == [
            "550 5.7.1 Message refused by content policy",
            "250 2.0.0 Ok, held for review",
            "250 2.0.0 saved",
            "452 4.2.2 full",
        ]
        assert [known.message.summary.recipients for known in gw.store._held.values()] == [("hold@example.net",)]
        outcomes = {row.recipients[0].partition("@")[0]: row.outcome for row in await gw.store.recent()}
        assert outcomes == {"strict": "refused", "hold": "held", "pass": "relayed", "full": "deferred"}


async def test_database_down_puts_off_only_whose_mail_it_should_hold() -> None:
    """No recipient waits for another: mail that passes does not need the database."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, policy=POLICY) as gw:
        gw.store.failure = StoreUnavailable("gone")
        replies = await _deliver(await gw.client(), SPAM, "hold", "pass")

        assert [reply[:9] for reply in replies] == ["451 4.3.0", "250 2.0.0"]
        assert len(hop.messages) == 1


async def test_database_down_delivers_tagged_where_the_operator_wants_that() -> None:
    """``policy.store_down = "tag"`` holds here too, recipient by recipient."""
    replies = ["250 2.0.0 one", "452 4.2.2 two"]
    async with NextHop(lmtp_replies=replies) as hop, gateway(hop, **LMTP) as gw:
        pipeline: Any = gw.edge._process.__self__  # type: ignore[attr-defined]  # a bound method
        pipeline.settings = replace(pipeline.settings, is_tagging_when_store_down=True)
        gw.store.failure = StoreUnavailable("gone")

        assert await _deliver(await gw.client(), SPAM, "b", "c") == replies
        assert b"X-Spam-Flag: YES" in hop.messages[0]


async def test_next_hop_falls_silent_between_two_replies() -> None:
    """What it had said holds; the others try again, and the verdict says that they may have it twice."""
    async with NextHop(lmtp_replies=["250 2.0.0 saved", "close"]) as hop, gateway(hop, **LMTP) as gw:
        replies = await _deliver(await gw.client(), MESSAGE, "b", "c", "d")

        assert [reply[:9] for reply in replies] == ["250 2.0.0", "451 4.4.2", "451 4.4.2"]
        assert gw.count("filterd_ambiguous_total") == 1
        assert gw.count("filterd_relay_failures_total", channel="email") == 1


async def test_next_hop_refuses_one_of_a_part_that_is_sent_by_itself() -> None:
    """Who is not taken a second time hears so, and the others have their mail all the same."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, policy=POLICY) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")
        for name in ("hold", "pass", "full"):
            await client.say(f"RCPT TO:<{name}@example.net>")
        await client.say("DATA")
        hop.answers["RCPT TO:<full@example.net>"] = "452 4.2.2 full"
        client.send(SPAM + b".\r\n")

        assert [(await client.reply())[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "452 4.2.2"]
        assert len(hop.messages) == 1


async def test_next_hop_refuses_all_of_a_part_that_is_sent_by_itself() -> None:
    """Nothing is sent where nobody is taken."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, policy=POLICY) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")
        for name in ("hold", "pass"):
            await client.say(f"RCPT TO:<{name}@example.net>")
        await client.say("DATA")
        hop.answers["RCPT"] = "550 5.1.1 gone"
        client.send(SPAM + b".\r\n")

        assert [(await client.reply())[:9] for _ in range(2)] == ["250 2.0.0", "550 5.1.1"]
        assert hop.messages == []


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"a\nb\r\n", "550 5.5.2"),
        (b"x" * 5_000 + b"\r\n", "552 5.3.4"),
        (b"Received: x\r\n" * 60 + MESSAGE, "554 5.4.6"),
    ],
    ids=["bare newline", "too large", "loop"],
)
async def test_message_that_breaks_a_rule_is_refused_for_every_recipient(raw: bytes, code: str) -> None:
    """The session goes on, and no reply is one too many."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, max_message_bytes=2_000) as gw:
        client = await gw.client()
        replies = await _deliver(client, raw, "b", "c")

        assert [reply[:9] for reply in replies] == [code, code]
        assert await client.say("NOOP") == "250 2.0.0 Ok"


async def _fails(*_args: object) -> None:
    raise RuntimeError("password=hunter2")


@pytest.mark.parametrize("where", ["handling", "checking"])
async def test_bug_is_a_temporary_reply_for_every_recipient(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is nobody's 5xx, and the client does not wait for a reply that never comes."""
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge) as gw:
        client = await gw.client()
        if where == "handling":
            gw.edge._process = _fails  # type: ignore[assignment]  # a bug
        else:
            monkeypatch.setattr("filterd.edges.smtp_session.beside_loop", _fails)
        replies = await _deliver(client, MESSAGE, "b", "c")

        assert [reply[:9] for reply in replies] == ["451 4.3.0", "451 4.3.0"]
        assert "hunter2" not in "".join(replies)
        assert gw.count("filterd_session_errors_total", edge="lmtp") == 1
        assert await client.say("NOOP") == "250 2.0.0 Ok"


async def test_recipient_who_is_named_twice_is_answered_twice() -> None:
    """Every RCPT that was accepted has a reply (RFC 2033 section 4.2)."""
    async with NextHop(lmtp_replies=["250 one", "250 two", "250 three"]) as hop, gateway(hop, **LMTP) as gw:
        replies = await _deliver(await gw.client(), MESSAGE, "b", "c", "b")

        assert sorted(replies) == ["250 one", "250 three", "250 two"]


async def test_report_is_answered_for_every_recipient() -> None:
    """A report address that is named twice is owed two replies."""
    learning = LearningSettings(
        report_spam_to="spam@example.net", reporters=("example.org",), report_networks=("127.0.0.1/32",)
    )
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, learning=learning) as gw:
        client = await gw.client()
        replies = await _deliver(client, MESSAGE, "spam", "spam")

        assert [reply[:9] for reply in replies] == ["550 5.6.0", "550 5.6.0"]
        assert await client.say("NOOP") == "250 2.0.0 Ok"


async def test_nothing_can_be_scored_and_every_recipient_tries_again() -> None:
    """Deferral is each recipient's own: a rule that lets unscannable mail of one pass does not hold for another."""
    passing = Scope(rule=Rule(unscannable=Action.TAG))
    policy = Policy(default=Scope(rule=Rule(unscannable=Action.DEFER)), overrides={"pass@example.net": passing})
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge, policy=policy) as gw:
        gw.scanner.failure = Unscannable("too deep")
        replies = await _deliver(await gw.client(), MESSAGE, "b", "pass")

        assert [reply[:9] for reply in replies] == ["451 4.7.1", "250 2.0.0"]


async def test_message_in_work_is_finished_and_answered_while_draining() -> None:
    """Who has sent the final dot hears of every recipient."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    async with NextHop() as hop, gateway(hop, kind=LmtpEdge) as gw:
        scan = gw.scanner.scan

        async def scan_in_time(envelope: Envelope, raw: bytes) -> Scan:
            entered.set()
            await go_on.wait()
            return await scan(envelope, raw)

        gw.scanner.scan = scan_in_time  # type: ignore[method-assign]  # the same, once it may
        sending = asyncio.create_task(_deliver(await gw.client(), MESSAGE, "b", "c"))
        await entered.wait()
        draining = asyncio.create_task(gw.edge.drain(5.0))
        await asyncio.sleep(0)
        go_on.set()

        assert await draining == 0
        assert [reply[:3] for reply in await sending] == ["250", "250"]


async def test_edges_of_a_worker_share_its_limits() -> None:
    """Sessions and memory are the worker's, by whichever protocol mail comes."""
    async with NextHop() as hop, gateway(hop) as gw:
        pipeline: Any = gw.edge._process.__self__  # type: ignore[attr-defined]  # a bound method
        store: Any = gw.store  # a fake of the one that is wired
        edges: Any = mail_edges(
            Config(),
            pipeline=pipeline,
            relay=gw.relay,
            reports=ReportDesk(),
            store=store,
            has_room=lambda: True,
            clock=gw.edge.clock,
            metrics=gw.metrics,
            events=gw.edge._events,
        )

        assert edges["smtp"].budget is edges["lmtp"].budget is edges["spamd"]._budget
        assert edges["smtp"].sessions is edges["lmtp"].sessions
