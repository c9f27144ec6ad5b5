"""Hostile and unusual clients: threats A1, A4, A6, A8, A11, A12, A14 and A15, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
import trustme

from filterd.edges.proxy_protocol import SIGNATURE
from filterd.metrics import UNJUDGED
from tests.filterd.smtp_dialogue import ALL_FORWARDS, KEYWORDS, MESSAGE, Client, NextHop, gateway, until
from tests.filterd.test_core_smtp_data import ENDINGS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    issued = authority.issue_cert("gw.example", "127.0.0.1")
    folder: Path = tmp_path_factory.mktemp("tls")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {"tls_certificate": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


SPLITS = ("crlf-dot-lf", "lf-dot-crlf", "crlf-nul-dot-crlf")


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_a1_smuggled_message_is_refused_with_the_one_around_it(ending: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nx"
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(b"Subject: x\r\n\r\nfirst" + ending + smuggled + b"\r\n.\r\n")

        assert (await client.reply()).startswith("550 5.5.2")
        assert hop.messages == []
        assert (await client.message()).startswith("250")


@pytest.mark.parametrize("name", SPLITS)
async def test_a1_smuggled_message_is_refused_wherever_the_packets_split(name: str) -> None:
    wire = b"Subject: x\r\n\r\nfirst" + ENDINGS[name] + b"QUIT\r\n.\r\n"
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        for cut in range(10, len(wire)):
            await client.say("RSET", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
            client.send(wire[:cut])
            await asyncio.sleep(0.001)
            client.send(wire[cut:])
            assert (await client.reply()).startswith("550 5.5.2"), cut
            if cut % 15 == 0:
                client = await gw.client()

        assert hop.messages == []


async def test_message_split_anywhere_arrives_whole_with_the_command_behind_it() -> None:
    wire = b"Subject: x\r\n\r\n..a\r\n\r\n.\r\nNOOP\r\n"
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        for cut in range(1, len(wire)):
            await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
            client.send(wire[:cut])
            await asyncio.sleep(0.001)
            client.send(wire[cut:])
            assert (await client.reply()).startswith("250 2.0.0 Ok: queued")
            assert (await client.reply()).startswith("250 2.0.0 Ok")
            assert hop.messages[-1].endswith(b"Subject: x\r\n\r\n.a\r\n\r\n")


async def test_a4_starttls_begins_a_new_session(certificate: dict[str, Any], authority: trustme.CA) -> None:
    """Stock fault 16: it works, also under our own loop."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with NextHop() as hop, gateway(hop, **certificate) as gw:
        client = await gw.client(ehlo="")
        await client.reply()
        assert "250-STARTTLS" in await client.say("EHLO me.example")
        await client.say("MAIL FROM:<a@example.org>")
        assert (await client.say("STARTTLS")).startswith("220")
        await client.writer.start_tls(context, server_hostname="gw.example")

        assert (await client.say("RCPT TO:<b@example.net>")).startswith("503")
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("503")
        assert "STARTTLS" not in await client.say("EHLO me.example")
        assert (await client.say("STARTTLS")).startswith("503")
        assert (await client.message()).startswith("250")
        assert b"with ESMTPS id" in hop.messages[0]
        assert (await client.say("QUIT")).startswith("221")


@pytest.mark.parametrize("injected", [b"MAIL FROM:<evil@example.org>\r\n", b"RSET\r\nNOOP\r\n", b"x"])
async def test_a4_plaintext_behind_starttls_ends_the_session(certificate: dict[str, Any], injected: bytes) -> None:
    async with NextHop() as hop, gateway(hop, **certificate) as gw:
        client = await gw.client()
        client.send(b"STARTTLS\r\n" + injected)

        assert (await client.reply()).startswith("554 5.5.0")
        assert await client.is_closed()


async def test_a4_handshake_that_fails_ends_the_session_and_nothing_else(certificate: dict[str, Any]) -> None:
    async with NextHop() as hop, gateway(hop, **certificate) as gw:
        client = await gw.client()
        await client.say("STARTTLS")
        client.send(b"this is no handshake\r\n")

        async with asyncio.timeout(5):
            await client.reader.read()
        await until(lambda: gw.count("filterd_sessions", edge="smtp") == 0)
        await gw.client()


async def test_tls_required_refuses_mail_in_the_clear(certificate: dict[str, Any]) -> None:
    async with NextHop() as hop, gateway(hop, tls_required=True, **certificate) as gw:
        client = await gw.client()

        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530 5.7.0")
        assert (await client.say("NOOP")).startswith("250")


async def test_starttls_without_a_certificate_is_not_available() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        assert (await (await gw.client()).say("STARTTLS")).startswith("454")


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b.example>\rRSET",
        b"MAIL FROM:<a\0@b.example>",
        b"MAIL FROM:<a@b.example> ENVID=a\x0bb",
        b"MAIL FROM:<a@b.example\x7f>",
        b"MAIL FROM:<a@b\xc2\x85.example> SMTPUTF8",
        b"MAIL FROM:<a@b\xff.example> SMTPUTF8",
        b"EHLO a\rb",
        b"EHLO a b",
        b"MAIL FROM:<a@b.example> BODY=BINARYMIME",
        b"MAIL FROM:<a@b.example> SIZE=1 SIZE=2",
        b"MAIL FROM:<a@b.example> SIZE=x",
        b"MAIL FROM:<a@b.example> X=1",
    ],
)
async def test_a6_odd_octets_in_a_command_never_reach_the_next_hop(line: bytes) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        client.send(line + b"\r\n")

        assert (await client.reply())[:3] in ("501", "555")
        await client.say("RCPT TO:<b@example.net>")
        assert len(hop.commands) == 1


async def test_utf8_address_needs_smtputf8_on_both_sides() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        assert (await client.say("MAIL FROM:<jürgen@example.org>")).startswith("553 5.6.7")
        assert (await client.say("MAIL FROM:<jürgen@example.org> SMTPUTF8")).startswith("250")
        assert (await client.say("RCPT TO:<b@bücher.example>")).startswith("250")
        assert "RCPT TO:<b@bücher.example>" in hop.commands
        hop.keywords = ("PIPELINING",)
        hop.drop_all()
        await client.say("RSET", "MAIL FROM:<jürgen@example.org> SMTPUTF8")
        assert (await client.say("RCPT TO:<b@example.net>")).startswith("553 5.6.7")


@pytest.mark.parametrize("early", [b"EHLO me.example\r\n", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"])
async def test_a8_client_that_speaks_before_the_banner_is_refused(early: bytes) -> None:
    async with NextHop() as hop, gateway(hop, proxy_protocol_networks=("127.0.0.0/8",)) as gw:
        client = await gw.client(ehlo="")
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + early)

        assert (await client.reply()).startswith("554 5.5.0")
        assert await client.is_closed()


@pytest.mark.parametrize("wire", [b"EHLO me.example\r\nNOOP\r\n", b"HELO me.example\r\nMAIL FROM:<a@b>\r\n"])
async def test_a8_pipelining_across_a_greeting_is_refused(wire: bytes) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        client.send(wire)

        assert (await client.reply()).startswith("554 5.5.0")
        assert await client.is_closed()


async def test_a8_message_sent_ahead_of_354_is_refused() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>")
        client.send(b"DATA\r\n" + MESSAGE + b".\r\n")

        assert (await client.reply()).startswith("554 5.5.0")
        assert await client.is_closed()
        assert hop.messages == []


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "Host: x", "CONNECT a:25 HTTP/1.1"])
async def test_a8_http_is_shown_the_door(verb: str) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert (await client.say(verb)).startswith("521")
        assert await client.is_closed()


async def test_pipelined_group_gets_its_replies_in_order_and_in_one_packet() -> None:
    async with NextHop(answers={}) as hop, gateway(hop) as gw:
        client = await gw.client()
        client.send(
            b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<bad>\r\nRCPT TO:<c@d.example>\r\n"
        )
        client.send(b"DATA\r\n")

        replies = [await client.reply() for _ in range(5)]
        assert [reply[:3] for reply in replies] == ["250", "250", "501", "250", "354"]


async def test_errors_end_the_session() -> None:
    async with NextHop() as hop, gateway(hop, max_errors=3) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:x", "RCPT TO:<a@b>", "DATA")

        assert (await client.reply()).startswith("421 4.7.0")
        assert await client.is_closed()


async def test_unknown_commands_end_the_session() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        replies = [await client.say(f"FOO{i}") for i in range(5)]

        assert all(reply.startswith("500") for reply in replies)
        assert (await client.reply()).startswith("421 4.7.0")


async def test_a10_commands_that_bring_nothing_end_the_session() -> None:
    async with NextHop() as hop, gateway(hop, max_errors=5) as gw:
        client = await gw.client()
        for _ in range(104):
            assert (await client.say("NOOP")).startswith("250")

        assert (await client.reply()).startswith("421 4.7.0") or await client.is_closed()


RELAY = [
    ("u@ours.example", "250"),
    ("u@other.example", "554 5.7.1"),
    ("u%other.example@ours.example", "554 5.7.1"),
    ('"u@other.example"@ours.example', "554 5.7.1"),
    ("other.example!u@ours.example", "554 5.7.1"),
    ("u@[127.0.0.1]", "554 5.7.1"),
    ("postmaster", "250"),
    ("@ours.example:u@other.example", "501 5.1.3"),
    ("u@other.example@ours.example", "501 5.1.3"),
    ("u@ours.example.", "501 5.1.3"),
]


@pytest.mark.parametrize(("address", "reply"), RELAY)
async def test_a11_stranger_relays_only_to_our_domains(address: str, reply: str) -> None:
    async with NextHop() as hop, gateway(hop, relay_networks=(), relay_domains=("ours.example",)) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")

        assert (await client.say(f"RCPT TO:<{address}>")).startswith(reply)
        assert any(address in command for command in hop.commands) is (reply == "250")


async def test_a11_server_in_front_relays_anywhere() -> None:
    async with NextHop() as hop, gateway(hop, relay_domains=("ours.example",)) as gw:
        client = await gw.client()
        await client.say("MAIL FROM:<a@example.org>")

        assert (await client.say("RCPT TO:<u%x@other.example>")).startswith("250")


@pytest.mark.parametrize("command", ["XFORWARD ADDR=192.0.2.9", "XCLIENT ADDR=192.0.2.9"])
async def test_a12_attributes_from_a_client_not_listed_are_refused(command: str) -> None:
    async with NextHop() as hop, gateway(hop, xforward_networks=(), xclient_networks=()) as gw:
        client = await gw.client(ehlo="")
        await client.reply()

        assert "XFORWARD" not in (greeting := await client.say("EHLO me.example"))
        assert "XCLIENT" not in greeting
        assert (await client.say(command)).startswith("550 5.7.0")
        await client.message()
        assert gw.scanner.seen
        (verdict,) = gw.store._verdicts.values()
        assert verdict.peer == "127.0.0.1"


async def test_a12_xforward_names_the_client_for_one_message_and_is_passed_on() -> None:
    async with NextHop(keywords=(*KEYWORDS, ALL_FORWARDS)) as hop, gateway(hop) as gw:
        client = await gw.client()
        await client.say("XFORWARD NAME=mx.example.org ADDR=192.0.2.9 PORT=1234", "XFORWARD HELO=hi PROTO=SMTP")
        await client.message()
        await client.message()

        peers = [verdict.peer for verdict in gw.store._verdicts.values()]
        assert peers == ["192.0.2.9", "127.0.0.1"]
        forwards = [command for command in hop.commands if command.startswith("XFORWARD")]
        assert "NAME=mx.example.org ADDR=192.0.2.9 PORT=1234 PROTO=SMTP HELO=hi IDENT=" in forwards[0]
        assert "ADDR=127.0.0.1" in forwards[1]
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("250")
        assert (await client.say("XFORWARD ADDR=192.0.2.9")).startswith("503")


async def test_a12_xclient_changes_what_the_client_may_do() -> None:
    async with NextHop() as hop, gateway(hop, xclient_networks=("127.0.0.1",), relay_domains=("ours.example",)) as gw:
        client = await gw.client()
        for claim in ("ADDR=192.0.2.9 PORT=99", "ADDR=[UNAVAILABLE]"):
            client = await gw.client()
            assert (await client.say(f"XCLIENT {claim}")).startswith("220 gw.example")
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("503")
            await client.say("EHLO me.example")
            await client.say("MAIL FROM:<a@example.org>")
            assert (await client.say("RCPT TO:<u@other.example>")).startswith("554 5.7.1")
            assert (await client.say("RCPT TO:<u@ours.example>")).startswith("250")


PROXIED = {
    "v1": b"PROXY TCP4 192.0.2.9 192.0.2.1 4321 25\r\n",
    "v1-six": b"PROXY TCP6 2001:db8::9 2001:db8::1 4321 25\r\n",
    "v2": SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes((192, 0, 2, 9)), b"\1\2\3\4", 4321, 25),
}


@pytest.mark.parametrize("header", PROXIED.values(), ids=PROXIED.keys())
async def test_a12_proxy_header_names_the_client(header: bytes) -> None:
    settings: dict[str, Any] = {"proxy_protocol_networks": ("127.0.0.1",), "relay_domains": ("ours.example",)}
    async with NextHop() as hop, gateway(hop, **settings) as gw:
        client = await gw.client(ehlo="")
        client.send(header)
        await client.reply()
        await client.say("EHLO me.example")
        await client.say("MAIL FROM:<a@example.org>")

        assert (await client.say("RCPT TO:<u@other.example>")).startswith("554")
        await client.say("RSET")
        assert (await client.message(MESSAGE, "u@ours.example")).startswith("250")
        assert b"[192.0.2.9]" in hop.messages[0] or b"[2001:db8::9]" in hop.messages[0]


@pytest.mark.parametrize(
    "header", [b"EHLO me.example\r\n", b"PROXY TCP4 x y 1 2\r\n", SIGNATURE + b"\x31\x11\0\0", b"\0" * 16]
)
async def test_a12_connection_without_a_proper_proxy_header_is_dropped(header: bytes) -> None:
    async with NextHop() as hop, gateway(hop, proxy_protocol_networks=("127.0.0.1",)) as gw:
        client = await gw.client(ehlo="")
        client.send(header)

        assert await client.is_closed()


async def test_a12_proxy_header_from_a_client_not_listed_is_an_error() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="")
        await client.reply()

        assert (await client.say(PROXIED["v1"].decode().strip())).startswith("500")


async def test_a14_message_that_loops_is_refused() -> None:
    async with NextHop() as hop, gateway(hop, max_hops=5) as gw:
        client = await gw.client()

        assert (await client.message(b"Received: x\r\n" * 6 + MESSAGE)).startswith("554 5.4.6")
        assert (await client.message(b"Received: x\r\n" * 5 + MESSAGE)).startswith("250")


async def test_a15_bounces_reports_and_postmaster_pass() -> None:
    async with NextHop() as hop, gateway(hop, relay_networks=(), relay_domains=("ours.example",)) as gw:
        client = await gw.client()

        assert (await client.message(MESSAGE, "u@ours.example", sender="")).startswith("250")
        assert (await client.message(MESSAGE, "postmaster", sender="")).startswith("250")


async def test_message_over_the_limit_is_552_at_mail_and_after_the_end_and_421_far_beyond() -> None:
    async with NextHop() as hop, gateway(hop, max_message_bytes=1000) as gw:
        client = await gw.client()
        assert (await client.say("MAIL FROM:<a@example.org> SIZE=1001")).startswith("552 5.3.4")
        assert (await client.message(b"x" * 2000 + b"\r\n")).startswith("552 5.3.4")
        assert (await client.message()).startswith("250")
        await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        client.send(b"x" * 3_000_000)
        assert (await client.reply()).startswith("421") or await client.is_closed()
        assert len(hop.messages) == 1


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["with-body", "without"])
async def test_b3_message_of_nothing_but_headers_is_too_large(end: bytes) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert (await client.message(b"X-Spam: 1\r\n" * 60_000 + end)).startswith("552 5.3.4")
        assert (await client.message(b"X-Spam: 1\r\n" * 40_000 + end)).startswith("250")


async def test_memory_budget_is_said_at_mail_and_given_back() -> None:
    async with NextHop() as hop, gateway(hop, max_in_flight_bytes=100_000) as gw:
        first, second = await gw.client(), await gw.client()
        await first.say("MAIL FROM:<a@example.org> SIZE=90000")
        assert (await second.say("MAIL FROM:<a@example.org> SIZE=90000")).startswith("250")
        await first.say("RCPT TO:<b@example.net>", "DATA")
        first.send(b"x" * 90_000)
        await until(lambda: gw.edge.budget.used >= 90_000)
        await second.say("RSET")

        assert (await second.say("MAIL FROM:<a@example.org> SIZE=20000")).startswith("452 4.3.2")
        first.send(b"\r\n.\r\n")
        assert (await first.reply()).startswith("250")
        assert (await second.message()).startswith("250")
        assert gw.edge.budget.used == 0


async def test_memory_budget_holds_against_a_client_that_does_not_declare_its_size() -> None:
    async with NextHop() as hop, gateway(hop, max_in_flight_bytes=300_000) as gw:
        first, second = await gw.client(), await gw.client()
        await first.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
        first.send(b"x" * 100_000)
        await until(lambda: gw.edge.budget.used >= 100_000)

        assert (await second.message(b"x" * 1_000_000 + b"\r\n")).startswith("452 4.3.2")
        assert hop.messages == []
        first.reset()
        await until(lambda: gw.edge.budget.used == 0)
        assert (await second.message()).startswith("250")


async def test_client_on_a_unix_socket_is_trusted_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    async with NextHop() as hop, gateway(hop, relay_networks=()) as gw:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(tmp_path / "smtp"))
        await gw.edge.start([sock])
        client = Client(*await asyncio.open_unix_connection(tmp_path / "smtp"))
        gw.clients.append(client)
        await client.reply()
        await client.say("EHLO me.example")

        assert (await client.message()).startswith("250")
        assert (await (await gw.client()).message()).startswith("503")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("VRFY bob", "252"),
        ("VRFY", "501"),
        ("EXPN list", "502"),
        ("HELP", "502"),
        ("BDAT 10 LAST", "502"),
        ("ETRN x", "502"),
        ("RSET now", "501"),
        ("EHLO", "501"),
        ("HELO", "501"),
        ("RCPT TO:<a@b>", "503"),
        ("DATA", "503"),
        ("NOOP anything", "250"),
        ("noop", "250"),
    ],
)
async def test_other_commands(command: str, reply: str) -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        assert (await (await gw.client()).say(command)).startswith(reply)


async def test_old_client_with_helo_gets_no_extensions() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client(ehlo="HELO old.example")

        assert (await client.say("MAIL FROM:<a@example.org> SIZE=10")).startswith("555")
        assert (await client.message()).startswith("250")
        assert b"with SMTP id" in hop.messages[0]


@pytest.mark.invariant("I6")
async def test_i6_every_message_that_begins_to_arrive_is_counted_once() -> None:
    async with NextHop() as hop, gateway(hop, max_message_bytes=1000, idle_timeout_seconds=0.3) as gw:
        client = await gw.client()
        await client.message()
        await client.message(b"x" * 2000 + b"\r\n")
        await client.message(b"a\nb\r\n")
        await client.message(b"Received: x\r\n" * 60)
        for how in ("leaves", "resets", "drips"):
            client = await gw.client()
            await client.say("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
            if how == "leaves":
                client.writer.write_eof()
            elif how == "resets":
                client.reset()
        await until(lambda: gw.count("filterd_unjudged_total", why="broken") == 1)

        counts = {why: gw.count("filterd_unjudged_total", why=why) for why in UNJUDGED}
        assert counts == {"too_large": 1, "bare_newline": 1, "loop": 1, "busy": 0, "broken": 1, "client_gone": 2}
        assert gw.count("filterd_outcomes_total", channel="email", outcome="relayed") == 1


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("answer", ["250 2.0.0 Ok", "451 4.3.0 later", "554 5.7.1 no"])
async def test_i7_nothing_of_a_message_is_left_once_it_is_answered(answer: str) -> None:
    async with NextHop(answers={".": answer}) as hop, gateway(hop) as gw:
        client = await gw.client()
        assert (await client.message(MESSAGE)).startswith(answer[:3])

        assert (await client.say("DATA")).startswith("503")
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("503")
        assert (await client.say("MAIL FROM:<d@example.org>")).startswith("250")
