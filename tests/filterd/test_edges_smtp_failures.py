"""What the sender hears when something breaks: the table of the custody contract, over real sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from filterd.core.policy import Policy, Rule, Scope
from filterd.core.verdict import Action
from filterd.errors import ScanDown, StoreFull, StoreUnavailable, Unscannable
from tests.filterd.smtp_dialogue import KEYWORDS, MESSAGE, SPAM, Client, NextHop, gateway, until

UNAVAILABLE = "451 4.4.1 Next hop unavailable"
LOST = "451 4.4.2 Connection to next hop lost"
TEMPORARY = "451 4.3.0 Temporary error, try again later"

FAULTS = [
    # where, what the next hop does, what the sender hears
    ("MAIL", "450 4.1.8 later", "450 4.1.8 later"),
    ("MAIL", "550 5.7.1 not you", "550 5.7.1 not you"),
    ("MAIL", "250-2.1.0 a\r\n250 2.1.0 b", "250 2.1.5 Ok"),
    ("MAIL", "354 what", TEMPORARY),
    ("MAIL", "220 what", TEMPORARY),
    ("MAIL", "421 4.3.2 bye", LOST),
    ("MAIL", "close", UNAVAILABLE),
    ("MAIL", "reset", UNAVAILABLE),
    ("MAIL", "garbage", UNAVAILABLE),
    ("MAIL", "hang", UNAVAILABLE),
    ("RCPT", "450 4.2.0 greylisted", "450 4.2.0 greylisted"),
    ("RCPT", "550 5.1.1 nobody here", "550 5.1.1 nobody here"),
    ("RCPT", "550-5.1.1 nobody\r\n550 5.1.1 here", "550-5.1.1 nobody\n550 5.1.1 here"),
    ("RCPT", "550 " + "x" * 900, "550 " + "x" * 400),
    ("RCPT", "550 bad\x07bell", "550 bad?bell"),
    ("RCPT", "354 what", TEMPORARY),
    ("RCPT", "421 4.3.2 bye", LOST),
    ("RCPT", "close", UNAVAILABLE),
    ("RCPT", "reset", UNAVAILABLE),
    ("RCPT", "garbage", UNAVAILABLE),
    ("RCPT", "hang", UNAVAILABLE),
    ("DATA", "451 4.3.0 later", "451 4.3.0 later"),
    ("DATA", "554 5.7.1 no", "554 5.7.1 no"),
    ("DATA", "250 what", TEMPORARY),
    ("DATA", "421 4.3.2 bye", LOST),
    ("DATA", "close", UNAVAILABLE),
    ("DATA", "reset", UNAVAILABLE),
    ("DATA", "garbage", UNAVAILABLE),
    ("DATA", "hang", UNAVAILABLE),
    (".", "452 4.3.1 full", "452 4.3.1 full"),
    (".", "554 5.7.1 virus", "554 5.7.1 virus"),
    (".", "354 more", TEMPORARY),
    (".", "251 odd", TEMPORARY),
    (".", "421 4.3.2 bye", LOST),
    (".", "close", LOST),
    (".", "reset", LOST),
    (".", "garbage", LOST),
    (".", "hang", LOST),
]
SILENCES = {"close", "reset", "garbage", "hang"}


async def first_refusal(client: Client, raw: bytes) -> str:
    """The reply of the step that fails, or of the last one."""
    await client.say("MAIL FROM:<a@example.org>")
    reply = await client.say("RCPT TO:<b@example.net>")
    if not reply.startswith("250") or raw == b"":
        return reply
    assert (await client.say("DATA")).startswith("354")
    client.send(raw + b".\r\n")
    return await client.reply()


@pytest.mark.invariant("I2")
@pytest.mark.parametrize("keywords", [KEYWORDS, ("SIZE 30000000",)], ids=["pipelining", "lockstep"])
@pytest.mark.parametrize(("verb", "fault", "expected"), FAULTS, ids=[f"{v}-{f[:12]!r}" for v, f, _ in FAULTS])
async def test_next_hop_fault_becomes_a_reply_the_sender_can_act_on(
    verb: str, fault: str, expected: str, keywords: tuple[str, ...]
) -> None:
    async with (
        NextHop(answers={verb: fault}, keywords=keywords) as hop,
        gateway(hop, next_hop_timeout_seconds=0.25) as gw,
    ):
        client = await gw.client()

        reply = await first_refusal(client, b"" if verb in ("MAIL", "RCPT") else MESSAGE)

        assert reply == expected
        assert gw.count("filterd_session_errors_total", edge="smtp") == 0
        assert gw.count("filterd_ambiguous_total") == (verb == "." and fault in SILENCES)
        # The session is as good as new, and so is the next transaction.
        hop.answers.clear()
        await client.say("RSET")
        assert await client.message() == "250 2.0.0 Ok: queued as X1"


@pytest.mark.parametrize("greeting", ["554 go away", "421 busy", "close", "reset", "garbage", "hang"])
async def test_next_hop_that_does_not_greet_is_unavailable(greeting: str) -> None:
    async with NextHop(greeting=greeting) as hop, gateway(hop, connect_timeout_seconds=0.25) as gw:
        client = await gw.client()

        assert await first_refusal(client, b"") == UNAVAILABLE
        hop.greeting = "220 back"
        await client.say("RSET")
        assert await client.message() == "250 2.0.0 Ok: queued as X1"


async def test_next_hop_that_is_down_is_unavailable() -> None:
    async with NextHop() as hop:
        port = hop.port
    async with gateway(port) as gw:
        client = await gw.client()

        assert await first_refusal(client, b"") == UNAVAILABLE
        assert gw.count("filterd_relay_failures_total", channel="email") == 1
        await client.say("RSET")
        async with NextHop(port=port):
            assert await client.message() == "250 2.0.0 Ok: queued as X1"


async def test_next_hop_restarted_between_messages_costs_nothing() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        assert (await client.message()).startswith("250")
        hop.drop_all()

        assert (await client.message()).startswith("250")
        assert len(hop.messages) == 2


async def test_next_hop_lost_while_scanning_is_asked_again() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>")
        hop.drop_all()
        await client.say("DATA")
        client.send(MESSAGE + b".\r\n")

        assert (await client.reply()).startswith("250")
        assert len(hop.messages) == 1
        assert hop.connections == 2


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    ("failure", "policy", "reply"),
    [
        (Unscannable("too deep"), Policy(), "250 2.0.0 Ok, held for review"),
        (
            Unscannable("too deep"),
            Policy(default=Scope(rule=Rule(unscannable=Action.REJECT))),
            "550 5.7.1 Message refused by content policy",
        ),
        (
            Unscannable("too deep"),
            Policy(default=Scope(rule=Rule(unscannable=Action.TAG))),
            "250 2.0.0 Ok: queued as X1",
        ),
        (ScanDown("no model"), Policy(), "451 4.7.1 Temporary error, try again later"),
        (RuntimeError("db password=hunter2"), Policy(), TEMPORARY),
    ],
    ids=["unscannable-held", "unscannable-rejected", "unscannable-tagged", "down", "bug"],
)
async def test_scanner_fault(failure: Exception, policy: Policy, reply: str) -> None:
    async with NextHop() as hop, gateway(hop, policy=policy) as gw:
        gw.scanner.failure = failure
        client = await gw.client()

        heard = await client.message()

        assert heard.startswith(reply)
        assert "hunter2" not in heard
        assert "hunter2" not in repr(gw.log)
        gw.scanner.failure = None
        assert (await client.message()).startswith("250")


async def test_scan_down_beyond_the_ladder_delivers_marked_as_unscanned() -> None:
    async with NextHop() as hop, gateway(hop, policy=replace(Policy(), scan_down=Action.ACCEPT)) as gw:
        gw.scanner.failure = ScanDown("no model")
        gw.edge._process.__self__.settings = replace(gw.edge._process.__self__.settings, scan_down="accept")  # type: ignore[attr-defined]
        client = await gw.client()

        await client.message(b"X-Spam-Flag: NO\r\n" + MESSAGE)

        assert b"X-Spam-Status: Unscanned, reason=scan_down\r\n" in hop.messages[0]
        assert b"X-Spam-Flag: NO" not in hop.messages[0]


@pytest.mark.invariant("I8")
@pytest.mark.parametrize(
    ("failure", "reply"),
    [(StoreUnavailable("gone"), TEMPORARY), (StoreFull("full"), "452 4.3.1 Insufficient system storage")],
)
async def test_store_fault_keeps_spam_with_its_sender_and_lets_ham_pass(failure: Exception, reply: str) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        gw.store.failure = failure
        client = await gw.client()

        assert await client.message(SPAM) == reply
        assert await client.message(MESSAGE) == "250 2.0.0 Ok: queued as X1"
        assert len(hop.messages) == 1


async def test_disk_without_room_is_said_at_mail() -> None:
    async with NextHop() as hop, gateway(hop, has_room=lambda: False) as gw:
        client = await gw.client()

        assert await client.say("MAIL FROM:<a@example.org>") == "452 4.3.1 Insufficient system storage"


async def test_held_message_never_reaches_the_next_hop() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert await client.message(SPAM) == "250 2.0.0 Ok, held for review"
        assert await client.message(MESSAGE) == "250 2.0.0 Ok: queued as X1"
        assert len(hop.messages) == 1
        assert len(await gw.store.list_held()) == 1
        assert hop.commands.count("DATA") == 1
        assert "RSET" in hop.commands


@pytest.mark.invariant("I1", "I3")
@pytest.mark.parametrize("how", ["quit-fin", "half-close", "reset"])
async def test_a16_client_gone_after_the_dot_changes_nothing(how: str) -> None:
    """I1: the ledger of what was acknowledged or not stays within what the next hop took, once."""
    async with NextHop() as hop, gateway(hop) as gw:
        gate, scan = asyncio.Event(), gw.scanner.scan

        async def slow(envelope, raw):
            await gate.wait()
            return await scan(envelope, raw)

        gw.scanner.scan = slow  # type: ignore[method-assign]
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(MESSAGE + b".\r\n" + (b"QUIT\r\n" if how == "quit-fin" else b""))
        await until(lambda: bool(gw.edge._tasks))
        if how == "reset":
            client.reset()
        else:
            client.writer.write_eof()
        await asyncio.sleep(0.05)
        gate.set()
        await gw.settled()

        assert len(hop.messages) == 1
        assert hop.ends == []
        assert gw.count("filterd_outcomes_total", channel="email", outcome="relayed") == 1
        if how != "reset":
            assert await client.reply() == "250 2.0.0 Ok: queued as X1"
            assert await client.is_closed() or how == "quit-fin"


async def test_client_that_half_closes_before_its_message_is_let_go_at_once() -> None:
    async with NextHop() as hop, gateway(hop, idle_timeout_seconds=60.0) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")
        client.send(b"RCPT TO:<b@example.net>\r\nDATA\r\n")
        client.writer.write_eof()

        assert (await client.reply()).startswith("250")
        assert (await client.reply()).startswith("354")
        assert await client.is_closed()
        assert hop.messages == []


async def test_client_gone_within_the_message_delivers_nothing() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(MESSAGE)
        client.writer.write_eof()

        assert await client.is_closed()
        assert hop.messages == []
        assert gw.edge.budget.used == 0


async def test_large_message_cut_short_is_dropped_by_reset_not_by_close() -> None:
    """A next hop that hangs up in the middle gets no end of data, and neither does one that stops reading."""
    async with NextHop(answers={"DATA": "354 go"}) as hop, gateway(hop, next_hop_timeout_seconds=0.4) as gw:

        async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.8)
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            try:
                while await reader.read(1 << 20):
                    pass
                hop.ends.append("eof")
            except ConnectionResetError:
                hop.ends.append("reset")
            return False

        hop._message = stuck  # type: ignore[method-assign]
        client = await gw.client()

        reply = await client.message(b"Subject: big\r\n\r\n" + b"x" * 20_000_000 + b"\r\n")

        assert reply == UNAVAILABLE
        await until(lambda: bool(hop.ends))
        assert hop.ends == ["reset"]
        assert gw.count("filterd_ambiguous_total") == 0
