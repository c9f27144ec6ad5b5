"""Each fault of aiosmtpd 1.4.6 as it comes, and that the edge does not have it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket

import pytest
from aiosmtpd.smtp import SMTP

from filterd import log
from filterd.edges.smtp_wire import MAX_COMMAND_BYTES
from tests.filterd.smtp_dialogue import MESSAGE, NextHop, gateway, until


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("<=?utf-8?q?x?=@b.example>", "250"),
        ("<a(comment)@b.example>", "501"),
        ("<a@b", "501"),
        ("<a\0@b.example>", "501"),
        ("<@relay.example,@b.example:u@x.example>", "501"),
    ],
)
async def test_a6_stock_fault_01_address_is_parsed_by_the_smtp_grammar(argument: str, reply: str) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert (await client.say(f"MAIL FROM:{argument}")).startswith(reply)
        if reply == "250":
            await client.say("RCPT TO:<b@example.net>")
            assert f"MAIL FROM:{argument}" in hop.commands


async def test_stock_fault_02_parameters_are_taken_and_kept_to_the_letter() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org> RET=hdrs ENVID=AbC+2Bd BODY=8BITMIME SIZE=100")
        await client.say("RCPT TO:<b@example.net> NOTIFY=SUCCESS,delay ORCPT=rfc822;B+2Bx@Example.net")

        assert "MAIL FROM:<a@example.org> RET=hdrs ENVID=AbC+2Bd BODY=8BITMIME" in hop.commands
        assert "RCPT TO:<b@example.net> NOTIFY=SUCCESS,delay ORCPT=rfc822;B+2Bx@Example.net" in hop.commands


async def test_a15_stock_fault_03_null_sender_is_empty() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert (await client.message(sender="")).startswith("250")
        assert "MAIL FROM:<>" in hop.commands
        (verdict,) = gw.store._verdicts.values()
        assert not verdict.sender


async def test_a1_stock_fault_04_long_lines_pass_and_stray_newlines_do_not() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        long = b"Subject: x\r\n\r\n" + b"y" * 1_000_000 + b"\r\n"

        assert (await client.message(long)).startswith("250")
        assert hop.messages[0].endswith(long)
        assert (await client.message(b"Subject: x\r\n\r\na\nb\r\n")).startswith("550 5.5.2")
        assert (await client.message(b"Subject: x\r\n\r\na\rb\r\n")).startswith("550 5.5.2")
        assert len(hop.messages) == 1


async def test_a1_stock_fault_04_stray_newlines_become_crlf_where_that_is_configured() -> None:
    async with NextHop() as hop, gateway(hop, bare_newline="normalize") as gw:
        client = await gw.client()

        assert (await client.message(b"Subject: x\r\n\r\na\n.\nMAIL FROM:<x@y>\rb\r\n")).startswith("250")
        assert len(hop.messages) == 1
        assert hop.messages[0].endswith(b"\r\na\r\n.\r\nMAIL FROM:<x@y>\r\nb\r\n")


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\n\r\n", b"\n"])
async def test_stock_fault_05_command_that_ends_with_lf_alone_ends_the_session(line: bytes) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        client.send(line)

        assert (await client.reply()).startswith("521 5.5.2")
        assert await client.is_closed()


async def test_a16_stock_fault_06_half_close_after_the_message_still_gets_the_reply() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(MESSAGE + b".\r\nQUIT\r\n")
        client.writer.write_eof()

        assert (await client.reply()).startswith("250")
        assert (await client.reply()).startswith("221")
        assert len(hop.messages) == 1


async def test_a9_stock_fault_07_idle_timeout_says_so_and_does_not_run_while_the_message_is_in_work() -> None:
    async with NextHop() as hop, gateway(hop, idle_timeout_seconds=0.15) as gw:
        scan = gw.scanner.scan

        async def slow(envelope, raw):
            await asyncio.sleep(0.4)
            return await scan(envelope, raw)

        gw.scanner.scan = slow  # type: ignore[method-assign]
        client = await gw.client()

        assert (await client.message()).startswith("250")
        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.is_closed()


async def test_stock_fault_08_exception_is_451_and_tells_nothing() -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("db password=hunter2")

    async with NextHop() as hop, gateway(hop, process=broken) as gw:
        client = await gw.client()

        reply = await client.message()

        assert re.fullmatch(r"451 4\.3\.0 Temporary error, try again later: [0-9a-f]{32}", reply)
        assert gw.count("filterd_session_errors_total", edge="smtp") == 1
        assert "hunter2" not in repr(gw.log)
        assert (await client.say("NOOP")).startswith("250")


async def test_stock_fault_08_exception_in_a_command_is_451_and_tells_nothing() -> None:
    def broken() -> bool:
        raise RuntimeError("hunter2")

    async with NextHop() as hop, gateway(hop, has_room=broken) as gw:
        client = await gw.client()

        assert await client.say("MAIL FROM:<a@example.org>") == "451 4.3.0 Temporary error, try again later"
        assert (await client.say("NOOP")).startswith("250")


async def test_a10_stock_fault_09_command_limit_does_not_grow_with_ehlo() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        for _ in range(20):
            await client.say("EHLO again.example")

        assert SMTP.command_size_limits == {} or max(SMTP.command_size_limits.values()) <= 512
        client.send(b"NOOP " + b"x" * MAX_COMMAND_BYTES + b"\r\n")
        assert (await client.reply()).startswith("500 5.5.2")
        assert await client.is_closed()


async def test_a9_stock_fault_09_endless_command_is_not_read_forever() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        client.send(b"x" * 100_000)

        assert (await client.reply()).startswith("500 5.5.2")
        assert await client.is_closed()


async def test_a13_stock_fault_10_auth_is_never_offered_nor_taken() -> None:
    async with NextHop(keywords=("AUTH PLAIN LOGIN", "PIPELINING")) as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="")
        await client.reply()

        assert "AUTH" not in await client.say("EHLO me.example")
        assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("502")
        assert (await client.say("MAIL FROM:<a@example.org> AUTH=<>")).startswith("555")


@pytest.mark.parametrize(
    ("keywords", "offered", "hidden"),
    [
        (("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN"), {"DSN", "SMTPUTF8", "8BITMIME"}, {"CHUNKING"}),
        (("PIPELINING", "CHUNKING", "VRFY", "ETRN"), set(), {"DSN", "SMTPUTF8", "8BITMIME", "CHUNKING", "VRFY"}),
    ],
)
async def test_stock_fault_11_keywords_mirror_the_next_hop(
    keywords: tuple[str, ...], offered: set[str], hidden: set[str]
) -> None:
    async with NextHop(keywords=keywords) as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="")
        await client.reply()
        lines = (await client.say("EHLO me.example")).split("\n")
        words = {line[4:].split(" ")[0] for line in lines[1:]}

        assert {"PIPELINING", "SIZE", "ENHANCEDSTATUSCODES"} | offered <= words
        assert not words & (hidden | {"AUTH", "STARTTLS", "HELP"})


async def test_stock_fault_11_size_is_the_smaller_one() -> None:
    async with NextHop(keywords=("SIZE 1000000",)) as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="")
        await client.reply()

        assert "SIZE 995904" in await client.say("EHLO me.example")
        assert (await client.say("MAIL FROM:<a@example.org> SIZE=999999")).startswith("552 5.3.4")


async def test_stock_fault_11_keywords_of_a_next_hop_never_seen_are_the_safe_ones() -> None:
    async with NextHop() as hop:
        port = hop.port
    async with gateway(port) as gw:
        client = await gw.client(ehlo="")
        await client.reply()
        words = {line[4:].split(" ")[0] for line in (await client.say("EHLO me.example")).split("\n")[1:]}

        assert words == {"PIPELINING", "SIZE", "ENHANCEDSTATUSCODES", "8BITMIME", "XFORWARD"}


async def test_stock_fault_12_lmtp_takes_one_recipient_and_its_reply() -> None:
    async with (
        NextHop(lmtp_replies=["250 2.0.0 stored"]) as hop,
        gateway(hop, next_hop_protocol="lmtp") as gw,
    ):
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>")
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("452 4.5.3")
        await client.say("DATA")
        client.send(MESSAGE + b".\r\n")

        assert await client.reply() == "250 2.0.0 stored"
        assert hop.commands[0].startswith("LHLO ")


async def test_stock_fault_13_host_name_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("blocking DNS")

    monkeypatch.setattr(socket, "getfqdn", refuse)
    async with NextHop() as hop, gateway(hop) as gw:
        await gw.client()


async def test_a10_stock_fault_14_sessions_have_a_limit() -> None:
    async with NextHop() as hop, gateway(hop, max_sessions=2) as gw:
        first, _ = await gw.client(), await gw.client()
        third = await gw.client(ehlo="")

        assert (await third.reply()).startswith("421 4.3.2")
        assert await third.is_closed()
        assert gw.count("filterd_sessions_refused_total", edge="smtp") == 1
        await first.say("QUIT")
        await until(lambda: gw.count("filterd_sessions", edge="smtp") == 1)
        await gw.client()


async def test_a10_stock_fault_14_sessions_per_address_have_a_limit_but_for_the_server_in_front() -> None:
    async with NextHop() as hop, gateway(hop, max_sessions_per_address=1, relay_networks=()) as gw:
        await gw.client()
        assert (await (await gw.client(ehlo="")).reply()).startswith("421 4.3.2")
    async with NextHop() as hop, gateway(hop, max_sessions_per_address=1) as gw:
        await gw.client()
        await gw.client()


async def test_a10_stock_fault_14_recipients_have_a_limit() -> None:
    async with NextHop() as hop, gateway(hop, max_recipients=2) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>")

        assert (await client.say("RCPT TO:<d@example.net>")).startswith("452 4.5.3")


async def test_a9_stock_fault_14_message_that_drips_is_given_up() -> None:
    async with (
        NextHop() as hop,
        gateway(hop, idle_timeout_seconds=0.15, min_data_bytes_per_second=100_000) as gw,
    ):
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(b"x" * 10)

        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.is_closed()
        assert gw.edge.budget.used == 0


async def test_a9_stock_fault_14_message_that_takes_too_long_is_given_up() -> None:
    async with NextHop() as hop, gateway(hop, data_timeout_seconds=0.15) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(b"x" * 1_000_000)

        assert (await client.reply()).startswith("421 4.4.2")


async def test_stock_fault_15_drain_ends_idle_sessions_and_waits_for_busy_ones() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        gate, scan = asyncio.Event(), gw.scanner.scan

        async def slow(envelope, raw):
            await gate.wait()
            return await scan(envelope, raw)

        gw.scanner.scan = slow  # type: ignore[method-assign]
        idle, busy = await gw.client(), await gw.client()
        await busy.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        busy.send(MESSAGE + b".\r\n")
        await until(lambda: bool(gw.edge._tasks))
        drained = asyncio.create_task(gw.edge.drain(5))

        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.is_closed()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", gw.port)
        gate.set()
        assert (await busy.reply()).startswith("250")
        assert (await busy.reply()).startswith("421 4.3.2")
        assert await drained == 0


async def test_stock_fault_15_drain_cuts_what_does_not_finish_and_counts_it() -> None:
    async with NextHop(answers={".": "hang"}) as hop, gateway(hop) as gw:
        busy = await gw.client()
        await busy.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        busy.send(MESSAGE + b".\r\n")
        await until(lambda: bool(hop.messages))

        assert await gw.edge.drain(0.1) == 1
        assert await busy.is_closed()


def test_a6_d15_stock_fault_17_addresses_and_lines_never_reach_its_log() -> None:
    """Aiosmtpd logs commands at INFO and message lines at DEBUG."""
    before = {name: logging.getLogger(name).level for name in ("mail.log", "asyncio")}
    try:
        log.configure("json", "debug")

        assert not logging.getLogger("mail.log").isEnabledFor(logging.WARNING)
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
