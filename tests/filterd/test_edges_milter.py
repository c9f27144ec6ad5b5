"""What a mail server is told to do with a message, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import MappingProxyType

import pytest

from filterd.core.policy import Policy, Rule, Scope, SenderList
from filterd.core.verdict import Action, Reply
from filterd.edges import milter_session
from filterd.errors import Overloaded, ScanDown, StoreFull, StoreUnavailable, Unscannable
from filterd.pipeline import Processed
from filterd.ports import HeldState
from tests.filterd.milter_dialogue import HAM, HEADERS, SPAM, Frame, Gateway, MailServer, changed, gateway, strings
from tests.filterd.smtp_dialogue import until

FORGED = (
    (b"X-Spam-Flag", b" NO"),
    *HEADERS,
    (b"x-spam-flag", b" NO"),
    (b"X-Filterd-Id", b" " + b"0" * 32),
    (b"Authentication-Results", b" elsewhere.example; dmarc=pass"),
    (b"Authentication-Results", b" mx.example.net; dmarc=fail"),
)
LENIENT = Scope(rule=Rule(quarantine_at=None, subject_tag="[SPAM]"))
OFF = Scope(rule=Rule(is_enabled=False))


def _policy(default: Rule | None = None, **overrides: Scope) -> Policy:
    scopes = {f"{name}@example.net": scope for name, scope in overrides.items()}
    return Policy(default=Scope(rule=default or Rule()), overrides=MappingProxyType(scopes))


def _last(answer: list[Frame]) -> tuple[str, str]:
    command, data = answer[-1]
    return command.decode(), data.rstrip(b"\0").decode()


async def test_ham_when_accepted_gets_our_headers_in_front() -> None:
    """The mail server is told to go on with the message, our headers in front of the sender's."""
    async with gateway() as gw:
        answer = await (await gw.server()).message()

        names = [name for name, _ in changed(HEADERS, answer)]
        assert names == [b"X-Filterd-Id", b"X-Filterd-Reason", b"X-Spam-Status", b"X-Spam-Score", b"From", b"Subject"]
        assert _last(answer) == ("c", "")
        assert gw.count("filterd_outcomes_total", channel="email", outcome="relayed") == 1
        assert gw.relay.sent == []


async def test_forged_headers_when_shown_are_removed_and_trusted_results_stay() -> None:
    """Whatever only we or a trusted server may write goes, each field by its own number."""
    async with gateway(trusted=["mx.example.net"]) as gw:
        answer = await (await gw.server()).message(headers=FORGED)

        assert changed(FORGED, answer)[4:] == [*HEADERS, FORGED[-1]]


async def test_spam_when_tagged_gets_its_subject_marked() -> None:
    """Tagged mail goes on with its flag and a subject that says so."""
    async with gateway(policy=_policy(Rule(quarantine_at=None, subject_tag="[SPAM]"))) as gw:
        answer = await (await gw.server()).message(SPAM)

        headers = dict(changed(HEADERS, answer))
        assert headers[b"Subject"] == b" [SPAM] hello"
        assert headers[b"X-Spam-Flag"] == b" YES"
        assert _last(answer)[0] == "c"


@pytest.mark.invariant("I1")
async def test_spam_when_held_is_durable_before_the_mail_server_may_forget_it() -> None:
    """DISCARD is said of what is in the store, byte for byte, and of nothing else."""
    async with gateway() as gw:
        answer = await (await gw.server()).message(SPAM)

        assert answer == [(b"d", b"")]
        (row,) = await gw.store.list_held()
        held = await gw.store.held(row.id)
        assert held.raw == b"From: a@example.org\r\nSubject: hello\r\n\r\nSPAM\r\n"
        assert held.summary.state is HeldState.HELD


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    ("error", "expected"),
    [(StoreUnavailable(), "451 4.3.0 Temporary error"), (StoreFull(), "452 4.3.1 Insufficient system storage")],
    ids=["down", "full"],
)
async def test_spam_when_it_cannot_be_held_is_left_with_its_sender(error: Exception, expected: str) -> None:
    """A hold that fails is a temporary failure of the mail server, never a DISCARD."""
    async with gateway() as gw:
        gw.store.failure = error
        command, text = _last(await (await gw.server()).message(SPAM))

        assert command == "y"
        assert text.startswith(expected)


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    ("error", "expected"),
    [(ScanDown(), "451 4.7.1"), (Overloaded(), "451 4.7.1"), (RuntimeError("bug"), "451 4.3.0")],
    ids=["scan-down", "overloaded", "bug"],
)
async def test_fault_of_ours_when_a_message_is_whole_is_temporary(error: Exception, expected: str) -> None:
    """No fault of ours is permanent, and none lets the message pass."""
    async with gateway() as gw:
        gw.scanner.failure = error
        server = await gw.server()

        command, text = _last(await server.message(HAM))
        gw.scanner.failure = None
        again = _last(await server.message(HAM))

        assert (command, text[:9]) == ("y", expected)
        assert again[0] == "c"


async def test_message_that_breaks_the_scanner_is_held() -> None:
    """What cannot be scanned is quarantined by default, as over SMTP."""
    async with gateway() as gw:
        gw.scanner.failure = Unscannable()
        assert await (await gw.server()).message(HAM) == [(b"d", b"")]


async def test_spam_when_rejected_is_refused_by_the_mail_server() -> None:
    """A rejection is the mail server's reply to its own client."""
    async with gateway(policy=_policy(Rule(quarantine_at=None, reject_at=0.5))) as gw:
        answer = await (await gw.server()).message(SPAM)

        assert [_last(answer)] == [("y", "550 5.7.1 Message refused by content policy")]


async def test_spam_when_the_mail_server_holds_is_handed_over_with_a_reason() -> None:
    """With milter.quarantine = "mta" the store keeps nothing and the mail server has both message and reason."""
    async with gateway(quarantine="mta") as gw:
        answer = await (await gw.server()).message(SPAM)

        assert [command for command, _ in answer[-2:]] == [b"q", b"c"]
        assert answer[-2][1].startswith(b"filterd: spam ")
        assert dict(changed(HEADERS, answer))[b"X-Spam-Flag"] == b" YES"
        assert not await gw.store.list_held()
        assert gw.count("filterd_messages_total", channel="email", action="quarantine", reason="spam") == 1
        assert gw.count("filterd_outcomes_total", channel="email", outcome="relayed") == 1


@pytest.mark.parametrize("keeper", ["filterd", "mta"])
async def test_recipients_when_some_rules_hold_are_split(keeper: str) -> None:
    """Those who want it get the mail server's copy, the others' part is held and taken off it."""
    async with gateway(policy=_policy(carol=OFF), quarantine=keeper) as gw:
        answer = await (await gw.server()).message(SPAM, b"<bob@example.net>", b"<carol@example.net>")

        (row,) = await gw.store.list_held()
        assert row.recipients == ("bob@example.net",)
        assert row.state is HeldState.HELD
        assert [data for command, data in answer if command == b"-"] == [b"<bob@example.net>\0"]
        assert _last(answer)[0] == "c"
        assert dict(changed(HEADERS, answer))[b"X-Filterd-Reason"] == b" allowed"


async def test_recipients_when_their_headers_differ_get_copies() -> None:
    """A mail server has one copy: the second header block goes through the next hop."""
    async with gateway(policy=_policy(Rule(quarantine_at=None, tag_at=0.5), carol=OFF)) as gw:
        answer = await (await gw.server()).message(SPAM, b"<bob@example.net>", b"<carol@example.net>")

        ((envelope, raw),) = gw.relay.sent
        assert [r.address for r in envelope.recipients] == ["carol@example.net"]
        assert b"X-Spam-Flag" not in raw
        assert [data for command, data in answer if command == b"-"] == [b"<carol@example.net>\0"]
        assert dict(changed(HEADERS, answer))[b"X-Spam-Flag"] == b" YES"


@pytest.mark.invariant("I1")
async def test_recipients_when_a_copy_is_not_taken_are_all_left_with_the_sender() -> None:
    """One refusal speaks for all: nothing is held, and nothing counts as handed on."""
    policy = _policy(Rule(), bob=LENIENT, carol=OFF)
    async with gateway(policy=policy) as gw:
        gw.relay.reply = Reply(code=450, enhanced="4.2.0", lines=("later",))
        answer = await (await gw.server()).message(
            SPAM, b"<ann@example.net>", b"<bob@example.net>", b"<carol@example.net>"
        )

        assert [_last(answer)] == [("y", "450 4.2.0 later")]
        assert not await gw.store.list_held()
        assert gw.count("filterd_outcomes_total", channel="email", outcome="deferred") == 3


async def test_client_when_named_by_macros_is_in_what_is_held() -> None:
    """Address, name, greeting, login and encryption of the client are known as the mail server knows them."""
    async with gateway() as gw:
        server = await gw.server()
        server.send(b"D", b"H" + strings(b"{tls_version}", b"TLSv1.3"))
        server.send(b"D", b"M" + strings(b"{auth_authen}", b"ann", b"{auth_type}", b"PLAIN"))
        await server.message(SPAM)

        (row,) = await gw.store.list_held()
        peer = (await gw.store.held(row.id)).envelope.peer
        assert (peer.address, peer.port, peer.name) == ("192.0.2.7", 2525, "mail.example.org")
        assert (peer.helo, peer.login, peer.protocol) == ("client.example", "ann", "ESMTPSA")


async def test_message_when_its_queue_id_is_known_is_logged_by_it() -> None:
    """An operator finds our line by the mail server's name for the message, each time the latest one."""
    async with gateway() as gw:
        server = await gw.server()
        for id in (b"4A1", b"4A2"):
            await server.begin()
            server.send(b"D", b"E" + strings(b"i", id))
            await server.show()
            await server.end()

        assert [event["queue_id"] for event in gw.events("message.judged")] == ["4A1", "4A2"]


async def test_sender_when_its_address_is_denied_is_held() -> None:
    """The client's address reaches the lists."""
    policy = Policy(default=Scope(rule=Rule(), deny=SenderList.of(("192.0.2.0/24",))))
    async with gateway(policy=policy) as gw:
        assert await (await gw.server()).message(HAM) == [(b"d", b"")]


async def test_login_when_the_client_changes_is_forgotten() -> None:
    """Nothing said of one client holds for the next on the same connection."""
    async with gateway() as gw:
        server = await gw.server()
        server.send(b"D", b"H" + strings(b"{tls_version}", b"TLSv1.3", b"{auth_authen}", b"ann"))
        await server.message(HAM)
        server.send(b"K")
        await server.connect(name=b"[192.0.2.8]", address=b"192.0.2.8", port=1)
        await server.message(SPAM)

        (row,) = await gw.store.list_held()
        peer = (await gw.store.held(row.id)).envelope.peer
        assert (peer.address, peer.name, peer.login, peer.protocol) == ("192.0.2.8", "", "", "ESMTP")


async def test_parameters_when_given_are_kept_with_what_is_held() -> None:
    """What the next hop must know of on release is kept; what ended with the connection is not."""
    async with gateway() as gw:
        server = await gw.server()
        server.send(b"M", strings(b"<>", b"SIZE=9", b"BODY=8BITMIME", b"AUTH=<>", b"RET=HDRS"))
        server.send(b"R", strings(b"<b@example.net>", b"NOTIFY=NEVER"))
        await server.show(body=SPAM)
        await server.end()

        (row,) = await gw.store.list_held()
        envelope = (await gw.store.held(row.id)).envelope
        assert envelope.sender == ""
        assert envelope.parameters == ("BODY=8BITMIME", "RET=HDRS")
        assert envelope.recipients[0].parameters == ("NOTIFY=NEVER",)


@pytest.mark.parametrize("steps", [0x1FFFFF, 0, 0x100000, 0xFF080], ids=["all", "none", "spaces", "no-replies"])
async def test_dialogue_when_less_is_offered_still_works(steps: int) -> None:
    """Every command that is not spared an answer gets one, and the message comes out the same."""
    async with gateway() as gw:
        server = await gw.server(steps=steps)
        for body in (HAM, SPAM, HAM):
            answer = await server.message(body, headers=[*HEADERS, (b"X-Spam", b" no")])
            assert _last(answer)[0] == ("d" if body == SPAM else "c")

        headers = changed((*HEADERS, (b"X-Spam", b" no")), answer, is_spaced=bool(server.steps & 0x100000))
        assert server.steps & ~steps == 0
        assert headers[4:] == list(HEADERS)
        assert headers[1] == (b"X-Filterd-Reason", b" ham")
        (row,) = await gw.store.list_held()
        assert (await gw.store.held(row.id)).raw.startswith(b"From: a@example.org\r\nSubject: hello\r\nX-Spam: no\r\n")


@pytest.mark.parametrize("version", [2, 4, 6, 7], ids=str)
async def test_version_when_offered_is_taken_up_to_ours(version: int) -> None:
    """The older of both versions is spoken."""
    async with gateway() as gw:
        assert (await gw.server(version=version)).version == min(version, 6)


@pytest.mark.parametrize(
    ("actions", "keeper"), [(0x1FF & ~0x10, "filterd"), (0x1FF & ~0x20, "mta")], ids=["change-headers", "quarantine"]
)
async def test_mail_server_when_it_cannot_do_what_is_needed_is_told_to_look_elsewhere(
    actions: int, keeper: str
) -> None:
    """A mail server that could not obey is not spoken to: its default action decides, and the log says why."""
    async with gateway(quarantine=keeper) as gw:
        server = await gw.connection()

        assert not await server.negotiate(actions=actions)
        assert "not offered" in gw.events("milter.broken")[0]["error"]


async def test_message_when_taken_back_leaves_nothing() -> None:
    """ABORT forgets the message and keeps the connection."""
    async with gateway() as gw:
        server = await gw.server()
        await server.begin()
        await server.show(body=SPAM)
        server.send(b"A")
        answer = await server.message(HAM)

        assert _last(answer)[0] == "c"
        assert gw.count("filterd_unjudged_total", why="client_gone") == 1
        assert not await gw.store.list_held()
        assert gw.edge.budget.used == 0


async def test_message_when_larger_than_allowed_is_refused_and_the_next_one_is_not() -> None:
    """Size is the sender's fault; no octet beyond the limit is kept."""
    async with gateway(max_message_bytes=100_000) as gw:
        server = await gw.server()

        assert _last(await server.message(b"x" * 200_000))[1].startswith("552 5.3.4")
        assert _last(await server.message(HAM))[0] == "c"
        assert gw.count("filterd_unjudged_total", why="too_large") == 1


async def test_message_when_memory_is_taken_is_put_off() -> None:
    """What does not fit beside the messages in hand gets 452, not a refusal."""
    async with gateway(max_in_flight_bytes=100_000) as gw:
        first, second = await gw.server(), await gw.server()
        await first.begin()
        await first.show(body=b"x" * 90_000)
        await until(lambda: gw.edge.budget.used > 80_000)

        assert _last(await second.message(b"x" * 90_000))[1].startswith("452 4.3.2")
        assert _last(await first.end())[0] == "c"
        assert gw.edge.budget.used == 0


async def test_connections_when_too_many_are_closed() -> None:
    """A mail server beyond the limit falls back on its default action."""
    async with gateway(max_sessions=1) as gw:
        await gw.server()
        extra = await gw.connection()

        assert await extra.is_closed()
        assert gw.count("filterd_sessions_refused_total", edge="milter") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        (b"C", b"x\0004\0\0192.0.2.1\0"),
        (b"O", b"short"),
        (b"O", bytes(12)),
    ],
    ids=["nothing-agreed", "short-offer", "version-0"],
)
async def test_stranger_when_it_does_not_speak_the_protocol_is_closed(wrong: Frame) -> None:
    """Whoever does not begin with an offer is no mail server."""
    async with gateway() as gw:
        server = await gw.connection()
        server.send(*wrong)

        assert await server.is_closed()
        assert len(gw.events("milter.broken")) == 1
        assert gw.count("filterd_session_errors_total", edge="milter") == 0


@pytest.mark.parametrize(
    "wrong",
    [(b"Z", b""), (b"E", b""), (b"L", b"name"), (b"M", b""), (b"D", b""), (b"D", b"Mname\0")],
    ids=["command", "end-of-nothing", "header", "mail", "macros-of-nothing", "half-a-macro"],
)
async def test_mail_server_when_it_breaks_the_protocol_is_closed(wrong: Frame) -> None:
    """A broken frame ends the connection, and the mail server's default action holds for the message."""
    async with gateway() as gw:
        server = await gw.server()
        server.send(*wrong)

        assert await server.is_closed()
        assert gw.count("filterd_session_errors_total", edge="milter") == 0


async def test_drain_when_a_message_is_in_hand_finishes_it_then_closes() -> None:
    """Idle connections are closed at once, the message in hand gets its answer first."""
    async with gateway() as gw:
        idle, busy = await gw.server(), await gw.server()
        await busy.begin()
        await until(lambda: any(not session.is_between_messages for session in gw.edge._open))
        drained = asyncio.create_task(gw.edge.drain(5))
        assert await idle.is_closed()

        await busy.show(body=SPAM)
        assert await busy.end() == [(b"d", b"")]
        assert await busy.is_closed()
        assert await drained == 0


def _gated(gw: Gateway) -> asyncio.Event:
    """No message is processed until the event is set."""
    gate, process = asyncio.Event(), gw.pipeline.process

    async def later(*args: object) -> Processed:
        await gate.wait()
        return await process(*args)  # type: ignore[arg-type]  # passed on

    gw.edge._process = later  # type: ignore[assignment]  # the same with a gate
    return gate


async def test_mail_server_when_it_vanishes_at_the_end_does_not_stop_what_was_begun() -> None:
    """A whole message is carried to its end: what was held once is found, and the sender's retry is the same row."""
    async with gateway() as gw:
        gate = _gated(gw)
        server = await gw.server()
        await server.begin()
        await server.show(body=SPAM)
        server.send(b"E")
        await until(lambda: bool(gw.edge._tasks))
        server.writer.transport.abort()
        gate.set()
        await until(lambda: not gw.edge._tasks)

        assert len(await gw.store.list_held()) == 1


async def test_mail_server_when_it_waits_hears_that_we_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that takes its time does not run into the mail server's limit."""
    monkeypatch.setattr(milter_session, "PROGRESS_SECONDS", 0.01)
    async with gateway() as gw:
        gate = _gated(gw)
        server = await gw.server()
        await server.begin()
        await server.show()
        server.send(b"E")

        assert [(await server.frame())[0] for _ in range(3)] == [b"p"] * 3
        gate.set()
        assert (await server.end_of_answer())[-1] == (b"c", b"")


async def test_connection_when_a_bug_of_ours_breaks_it_is_closed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail server's default action holds, and the log says where the bug is."""

    def broken(_data: bytes) -> None:
        raise RuntimeError

    monkeypatch.setattr(milter_session, "read_header", broken)
    async with gateway() as gw:
        server = await gw.server()
        await server.begin()
        server.send(b"L", strings(b"Subject", b" hello"))

        assert await server.is_closed()
        assert gw.count("filterd_session_errors_total", edge="milter") == 1
        assert gw.edge.budget.used == 0


async def test_connection_when_it_says_nothing_is_closed() -> None:
    """A mail server that has forgotten us takes no place for ever."""
    async with gateway(idle_timeout_seconds=0.05) as gw:
        assert await (await gw.server()).is_closed()
        await until(lambda: gw.count("filterd_sessions", edge="milter") == 0)
        assert not gw.events("milter.broken")


async def test_socket_file_when_listened_on_is_answered(tmp_path: Path) -> None:
    """A mail server of the same machine needs no port."""
    async with gateway() as gw:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(tmp_path / "milter"))
        await gw.edge.serve(sock)
        server = MailServer(*await asyncio.open_unix_connection(tmp_path / "milter"))
        gw.servers.append(server)

        assert await server.negotiate()
        assert _last(await server.message())[0] == "c"


async def test_scan_down_when_the_ladder_says_accept_passes_marked_as_unscanned() -> None:
    """Nothing is called ham that was not scored."""
    async with gateway(policy=Policy(scan_down=Action.ACCEPT)) as gw:
        gw.scanner.failure = ScanDown()
        gw.pipeline.settings = type(gw.pipeline.settings)(
            policies=gw.pipeline.settings.policies, stamp=gw.pipeline.settings.stamp, scan_down="accept"
        )
        answer = await (await gw.server()).message(HAM)

        assert dict(changed(HEADERS, answer))[b"X-Spam-Status"] == b" Unscanned, reason=scan_down"
