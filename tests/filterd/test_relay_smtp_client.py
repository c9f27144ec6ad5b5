"""The SMTP and LMTP client: pooling, pipelining, TLS, parameters, and what a release gets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Recipient
from filterd.core.verdict import Reply
from filterd.errors import ConfigError, RelayAmbiguous, RelayUnavailable
from filterd.metrics import Metrics
from filterd.relay import pool
from filterd.relay.smtp_client import SmtpRelay
from filterd.settings import SmtpSettings
from filterd.testing import an_envelope
from tests.filterd.smtp_dialogue import MESSAGE, NextHop, until

QUEUED = Reply(code=250, enhanced="2.0.0", lines=("Ok: queued as X1",))
BOB, CAROL = Recipient(address="bob@example.net"), Recipient(address="carol@example.net")


def relay_to(port: int, registry: CollectorRegistry | None = None, **settings: Any) -> SmtpRelay:
    options = SmtpSettings(**{"next_hop": f"127.0.0.1:{port}", **settings})
    return SmtpRelay(options, metrics=Metrics(registry or CollectorRegistry()), hostname="gw.example")


async def test_send_delivers_and_returns_the_next_hops_words() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        assert await relay.send(an_envelope("a@b.example", "bob@example.net", "carol@example.net"), MESSAGE) == QUEUED
        assert hop.messages == [MESSAGE]
        assert hop.commands[1:4] == [
            "MAIL FROM:<a@b.example>",
            "RCPT TO:<bob@example.net>",
            "RCPT TO:<carol@example.net>",
        ]


async def test_send_of_refused_recipient_delivers_to_nobody() -> None:
    async with NextHop(answers={"RCPT": "550 5.1.1 nobody"}) as hop, relay_to(hop.port) as relay:
        reply = await relay.send(an_envelope(), MESSAGE)

        assert reply == Reply(code=550, enhanced="5.1.1", lines=("nobody",))
        assert hop.messages == []
        hop.answers.clear()
        await until(lambda: bool(relay._pool._idle))
        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.connections == 1


async def test_connections_are_reused_the_last_one_first() -> None:
    registry = CollectorRegistry()
    async with NextHop() as hop, relay_to(hop.port, registry) as relay:
        for _ in range(5):
            await relay.send(an_envelope(), MESSAGE)

        assert hop.connections == 1
        assert registry.get_sample_value("filterd_relay_connections") == 1
        assert "RSET" not in hop.commands
    await until(lambda: registry.get_sample_value("filterd_relay_connections") == 0)


async def test_no_more_idle_connections_are_kept_than_configured() -> None:
    registry = CollectorRegistry()
    async with NextHop() as hop, relay_to(hop.port, registry, next_hop_connections=2) as relay:
        await asyncio.gather(*(relay.send(an_envelope(), MESSAGE) for _ in range(5)))

        assert len(hop.messages) == 5
        await until(lambda: registry.get_sample_value("filterd_relay_connections") == 2)


async def test_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    async with NextHop() as hop, relay_to(hop.port) as relay:
        await relay.send(an_envelope(), MESSAGE)
        await until(lambda: "QUIT" in hop.commands)

        assert await relay.send(an_envelope(), MESSAGE) == QUEUED


async def test_pooled_connection_that_answers_421_is_replaced() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        await relay.send(an_envelope(), MESSAGE)
        hop.answers["MAIL"] = "421 4.4.2 timeout"
        sent = asyncio.create_task(relay.send(an_envelope(), MESSAGE))
        await until(lambda: hop.connections == 2)
        hop.answers.clear()

        assert (await sent).code in (250, 451)
        assert len(hop.messages) == len({1, 2} if (await sent).is_positive else {1})


async def test_mirrored_transaction_is_used_where_it_has_the_recipients() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        envelope = replace(an_envelope(), recipients=())
        transaction = relay.open(envelope)
        assert (await transaction.rcpt(BOB)).is_positive
        assert (await transaction.rcpt(CAROL)).is_positive

        assert await transaction.send(replace(envelope, recipients=(BOB, CAROL)), MESSAGE) == QUEUED
        assert [command[:4] for command in hop.commands] == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA"]


async def test_mirrored_transaction_for_a_part_of_its_recipients_begins_anew() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        envelope = replace(an_envelope(), recipients=())
        transaction = relay.open(envelope)
        await transaction.rcpt(BOB)
        await transaction.rcpt(CAROL)

        assert await transaction.send(replace(envelope, recipients=(CAROL,)), MESSAGE) == QUEUED
        assert await transaction.send(replace(envelope, recipients=(BOB,)), MESSAGE) == QUEUED
        assert len(hop.messages) == 2
        data = [i for i, command in enumerate(hop.commands) if command == "DATA"]
        assert hop.commands[data[0] - 1] == "RCPT TO:<carol@example.net>"
        assert hop.commands[data[1] - 1] == "RCPT TO:<bob@example.net>"


async def test_abort_leaves_a_connection_that_can_be_used() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        transaction = relay.open(an_envelope())
        await transaction.rcpt(BOB)
        transaction.abort()
        transaction.abort()
        await until(lambda: bool(relay._pool._idle))

        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.connections == 1
        assert len(hop.messages) == 1


async def test_cancelled_command_never_leaves_its_reply_to_the_next_one() -> None:
    async with NextHop(answers={"RCPT": "hang"}) as hop, relay_to(hop.port) as relay:
        transaction = relay.open(an_envelope())
        asking = asyncio.create_task(transaction.rcpt(BOB))
        await until(lambda: len(hop.commands) == 3)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        transaction.abort()
        hop.answers.clear()

        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.connections == 2


@pytest.mark.parametrize(("at", "error"), [("DATA", RelayUnavailable), (".", RelayAmbiguous)])
@pytest.mark.parametrize("fault", ["close", "reset", "garbage", "hang"])
async def test_silence_is_ambiguous_only_after_the_final_dot(at: str, error: type[Exception], fault: str) -> None:
    async with NextHop(answers={at: fault}) as hop, relay_to(hop.port, next_hop_timeout_seconds=0.2) as relay:
        with pytest.raises(error) as caught:
            await relay.send(an_envelope(), MESSAGE)

        assert caught.type is error


async def test_dsn_parameters_pass_where_the_next_hop_takes_them_only() -> None:
    recipient = replace(BOB, parameters=("NOTIFY=NEVER", "ORCPT=rfc822;x"))
    envelope = replace(
        an_envelope(), recipients=(recipient,), parameters=("RET=HDRS", "ENVID=x", "BODY=8BITMIME", "SMTPUTF8")
    )
    async with NextHop() as hop, relay_to(hop.port) as relay:
        await relay.send(envelope, MESSAGE)
        assert hop.commands[1] == "MAIL FROM:<alice@example.org> RET=HDRS ENVID=x BODY=8BITMIME SMTPUTF8"
        assert hop.commands[2] == "RCPT TO:<bob@example.net> NOTIFY=NEVER ORCPT=rfc822;x"
    async with NextHop(keywords=("SMTPUTF8",)) as hop, relay_to(hop.port) as relay:
        await relay.send(envelope, MESSAGE)
        assert hop.commands[1] == "MAIL FROM:<alice@example.org> SMTPUTF8"
        assert hop.commands[2] == "RCPT TO:<bob@example.net>"


async def test_server_without_ehlo_is_greeted_with_helo() -> None:
    async with NextHop(answers={"EHLO": "502 what"}) as hop, relay_to(hop.port) as relay:
        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.commands[1] == "HELO gw.example"


@pytest.mark.parametrize("address", ["a\r\nRSET@b", "a\n@b", "a\0@b", "a\x7f@b"])
async def test_a6_control_character_in_an_address_is_never_sent(address: str) -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:
        with pytest.raises(RelayUnavailable):
            await relay.send(an_envelope(address), MESSAGE)

        assert len(hop.commands) == 1


async def test_lmtp_waits_for_a_reply_per_recipient_and_the_first_refusal_counts() -> None:
    replies = ["250 2.0.0 one", "452 4.2.2 full"]
    async with NextHop(lmtp_replies=replies) as hop, relay_to(hop.port, next_hop_protocol="lmtp") as relay:
        reply = await relay.send(an_envelope("a@b.example", "x@c.example", "y@c.example"), MESSAGE)

        assert reply == Reply(code=452, enhanced="4.2.2", lines=("full",))
        assert hop.commands[0] == "LHLO gw.example"


async def test_lmtp_each_recipient_has_the_reply_that_was_given_for_them() -> None:
    """Two that the next hop takes, one of whom is full, and one between them that it does not know."""
    replies = ["250 2.0.0 one", "452 4.2.2 full"]
    async with NextHop(lmtp_replies=replies) as hop, relay_to(hop.port, next_hop_protocol="lmtp") as relay:
        hop.answers["RCPT TO:<y@c.example>"] = "550 5.1.1 nobody"
        envelope = an_envelope("a@b.example", "x@c.example", "y@c.example", "z@c.example")
        told = await relay.open(envelope).send_each(envelope, MESSAGE)

        assert [each.code for each in told if isinstance(each, Reply)] == [250, 550, 452]


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"], ids=str)
async def test_refusal_of_data_is_every_recipient_s(protocol: str, size: int) -> None:
    """Nothing was sent: all of them try again."""
    async with (
        NextHop(answers={"DATA": "451 4.3.0 later"}) as hop,
        relay_to(hop.port, next_hop_protocol=protocol) as relay,
    ):
        envelope = an_envelope("a@b.example", "x@c.example", "y@c.example")
        told = await relay.open(envelope).send_each(envelope, MESSAGE + b"x" * size + b"\r\n")

        assert [each.code for each in told if isinstance(each, Reply)] == [451, 451]


async def test_one_smtp_reply_is_every_recipient_s() -> None:
    """A next hop that speaks SMTP says one thing about all that it took."""
    async with NextHop() as hop, relay_to(hop.port) as relay:
        envelope = an_envelope("a@b.example", "x@c.example", "y@c.example")
        transaction = relay.open(envelope)
        for recipient in envelope.recipients:
            await transaction.rcpt(recipient)

        assert await transaction.send_each(envelope, MESSAGE) == [QUEUED, QUEUED]
        assert len(hop.messages) == 1


async def test_unix_socket(tmp_path: Path) -> None:
    hop = NextHop()
    server = await asyncio.start_unix_server(hop._serve, tmp_path / "lmtp")
    try:
        async with relay_to(0, next_hop=f"unix:{tmp_path / 'lmtp'}") as relay:
            assert await relay.send(an_envelope(), MESSAGE) == QUEUED
    finally:
        server.close()


async def test_large_message_arrives_whole() -> None:
    raw = b"Subject: x\r\n\r\n" + b".dotted line\r\n" * 300_000
    async with NextHop() as hop, relay_to(hop.port) as relay:
        assert await relay.send(an_envelope(), raw) == QUEUED
        assert hop.messages == [raw]


async def test_refusal_in_the_middle_of_a_large_message_is_passed_on() -> None:
    async with NextHop() as hop, relay_to(hop.port) as relay:

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            await reader.read(1000)
            writer.write(b"552 5.3.4 too big for me\r\n")
            await asyncio.sleep(0.05)
            while not reader.at_eof():
                try:
                    await reader.read(1 << 16)
                except ConnectionError:
                    break
            return False

        hop._message = refuse  # type: ignore[method-assign]
        reply = await relay.send(an_envelope(), b"x" * 30_000_000 + b"\r\n")

        assert reply == Reply(code=552, enhanced="5.3.4", lines=("too big for me",))


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def authority_file(authority: trustme.CA) -> Iterator[str]:
    with authority.cert_pem.tempfile() as path:
        yield path


async def test_tls_required_verifies_the_next_hop(server_tls: ssl.SSLContext, authority_file: str) -> None:
    settings: dict[str, Any] = {"next_hop_tls": "required", "next_hop_tls_ca": authority_file}
    async with NextHop(tls=server_tls) as hop, relay_to(hop.port, **settings) as relay:
        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.commands[:3] == ["EHLO gw.example", "STARTTLS", "EHLO gw.example"]


async def test_tls_required_refuses_a_stranger(server_tls: ssl.SSLContext) -> None:
    with trustme.CA().cert_pem.tempfile() as other:
        settings: dict[str, Any] = {"next_hop_tls": "required", "next_hop_tls_ca": other}
        async with NextHop(tls=server_tls) as hop, relay_to(hop.port, **settings) as relay:
            with pytest.raises(RelayUnavailable, match="TLS"):
                await relay.send(an_envelope(), MESSAGE)
            assert hop.messages == []


@pytest.mark.parametrize("answer", ["", "454 4.7.0 not now", "502 what"])
async def test_a5_tls_required_is_never_given_up(answer: str, server_tls: ssl.SSLContext) -> None:
    answers = {"STARTTLS": answer} if answer else {}
    hop = NextHop(answers=answers, tls=server_tls if answer else None)
    async with hop, relay_to(hop.port, next_hop_tls="required") as relay:
        with pytest.raises(RelayUnavailable):
            await relay.send(an_envelope(), MESSAGE)
        assert not any(command.startswith("MAIL") for command in hop.commands)


@pytest.mark.parametrize("answer", ["", "454 4.7.0 not now"])
async def test_tls_opportunistic_goes_on_without(answer: str, server_tls: ssl.SSLContext) -> None:
    hop = NextHop(answers={"STARTTLS": answer} if answer else {}, tls=server_tls if answer else None)
    async with hop, relay_to(hop.port, next_hop_tls="opportunistic") as relay:
        assert await relay.send(an_envelope(), MESSAGE) == QUEUED


async def test_tls_opportunistic_takes_any_certificate(server_tls: ssl.SSLContext) -> None:
    async with NextHop(tls=server_tls) as hop, relay_to(hop.port, next_hop_tls="opportunistic") as relay:
        assert await relay.send(an_envelope(), MESSAGE) == QUEUED
        assert hop.commands.count("EHLO gw.example") == 2


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
async def test_a5_reply_injected_ahead_of_the_handshake_ends_the_connection(
    tls: str, server_tls: ssl.SSLContext
) -> None:
    hop = NextHop(tls=server_tls, extra_after_starttls=b"250-evil\r\n250 AUTH PLAIN\r\n")
    async with hop, relay_to(hop.port, next_hop_tls=tls) as relay:
        with pytest.raises(RelayUnavailable):
            await relay.send(an_envelope(), MESSAGE)


def test_certificate_file_that_cannot_be_read_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="next_hop_tls_ca"):
        relay_to(1, next_hop_tls="required", next_hop_tls_ca="/nonexistent.pem")


async def test_offers_of_a_next_hop_that_is_down_are_unknown_and_then_remembered() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with relay_to(port) as relay:
        assert await relay.offers() is None
        async with NextHop(port=port):
            offers = await relay.offers()
            assert offers is not None
            assert "DSN" in offers
        await asyncio.sleep(0.02)
        assert await relay.offers() == offers
