"""The spamd edge over real sockets: limits, refusals, and what a client hears when something is wrong."""

from __future__ import annotations

import zlib

import pytest

from filterd.core.verdict import Label
from filterd.edge_settings import SpamdSettings
from filterd.errors import Overloaded, ScanDown, StoreUnavailable, Unscannable
from tests.filterd.advised import HAM, MOST_BYTES, SPAM, World
from tests.filterd.smtp_dialogue import until

ANN = "ann@example.net"
STRANGERS = ("192.0.2.0/24",)


def ask(verb: str, raw: bytes = SPAM, *lines: str, version: str = "SPAMC/1.5", length: int | None = None) -> bytes:
    head = [f"{verb} {version}", *lines, f"Content-length: {len(raw) if length is None else length}", "", ""]
    return "\r\n".join(head).encode() + raw


async def test_check_is_answered_and_the_connection_closed() -> None:
    """Spam and ham, by the word and by the number."""
    world = World()
    async with world.spamd() as spamd:
        spam, ham = await spamd(ask("CHECK")), await spamd(ask("CHECK", HAM))

    assert spam.startswith(b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; ")
    assert ham.startswith(b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; ")
    assert world.metric("filterd_sessions", edge="spamd") == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"HEADERS SPAMC/1.4\r\nUser: x\r\n\r\n" + SPAM,
        ask("HEADERS", SPAM, "User: x"),
        ask("HEADERS", zlib.compress(SPAM), "Compress: zlib"),
    ],
    ids=["no-length", "length", "zlib"],
)
async def test_message_is_taken_in_every_way_it_may_come(request_: bytes) -> None:
    """Haraka says no length and closes its side; spamc may compress."""
    async with World().spamd() as spamd:
        answer = await spamd(request_)

    assert b"\r\nX-Spam-Flag: YES\r\n" in answer
    assert answer.endswith(b"\r\nFrom: eve@example.com\r\nSubject: win\r\n\r\n")


async def test_exim_hears_the_answer_without_closing_its_side() -> None:
    """RSPAMC clients wait for us to close."""
    world = World()
    request = ask("CHECK", SPAM, "From: <eve@example.com>", "Rcpt: <a@x>", "IP: 192.0.2.9", version="RSPAMC/1.3")
    async with world.spamd() as spamd:
        answer = await spamd(request, is_closing=False)

    (row,) = await world.store.recent()
    assert answer.startswith(b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; ")
    assert (row.sender, row.recipients, row.peer) == ("eve@example.com", ("a@x",), "192.0.2.9")


@pytest.mark.parametrize("request_", [b"PING SPAMC/1.2\r\n", b"PING SPAMC/1.5\r\n\r\n"], ids=["1.2", "1.5"])
async def test_ping_is_answered_with_or_without_an_empty_line(request_: bytes) -> None:
    """A client that waits with its side open is answered, too."""
    async with World().spamd() as spamd:
        assert await spamd(request_, is_closing=False) == b"SPAMD/1.5 0 PONG\r\n"


async def test_skip_is_closed_without_a_word() -> None:
    """As spamd does."""
    async with World().spamd() as spamd:
        assert await spamd(b"SKIP SPAMC/1.5\r\n\r\n") == b""


@pytest.mark.invariant("I9")
@pytest.mark.parametrize(
    "failure", [ScanDown(), Overloaded(), RuntimeError("a bug")], ids=["scan-down", "overloaded", "bug"]
)
@pytest.mark.parametrize("verb", ["CHECK", "PROCESS", "TELL"])
async def test_client_when_nothing_can_be_scored_hears_tempfail(failure: Exception, verb: str) -> None:
    """No fault of ours is ever an opinion."""
    world = World()
    world.scanner.failure = failure
    async with world.spamd() as spamd:
        answer = await spamd(ask(verb, SPAM, "Message-class: spam", "Set: local"))

    assert answer.startswith(b"SPAMD/1.0 75 ")
    assert (b"Spam:" in answer, b"DidSet" in answer) == (False, False)


async def test_client_when_its_message_cannot_be_learned_hears_so() -> None:
    """Trying again would not help."""
    world = World()
    world.scanner.failure = Unscannable("too many parts")
    async with world.spamd() as spamd:
        answer = await spamd(ask("TELL", SPAM, "Message-class: spam", "Set: local"))

    assert answer == b"SPAMD/1.0 65 nothing can be learned from it\r\n"


async def test_label_when_the_database_is_away_is_a_tempfail() -> None:
    """DidSet is said only of what is durable."""
    world = World()
    world.store.failure = StoreUnavailable()
    async with world.spamd() as spamd:
        answer = await spamd(ask("TELL", SPAM, "Message-class: spam", "Set: local", f"User: {ANN}"))

    assert answer.startswith(b"SPAMD/1.0 75 ")


async def test_tell_sets_and_removes_for_its_user() -> None:
    """Label, the opposite, and taking it back."""
    world = World()
    async with world.spamd() as spamd:
        user = f"User: {ANN}"
        spam = await spamd(ask("TELL", SPAM, "Message-class: spam", "Set: local,remote", user))
        standing = world.standing()
        gone = await spamd(ask("TELL", SPAM, "Remove: local", user))
        nothing = await spamd(ask("TELL", SPAM, "Remove: local", user))

    assert [entry[1:] for entry in standing] == [(Label.SPAM, ANN, "spamd")]
    assert spam == b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n"
    assert gone == b"SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\n\r\n\r\n"
    assert nothing == b"SPAMD/1.1 0 EX_OK\r\n\r\n\r\n"


async def test_c2_tell_from_elsewhere_is_not_believed_and_noted() -> None:
    """Clients outside of tell_networks may ask, and their labels count nothing."""
    world = World()
    async with world.spamd(SpamdSettings(tell_networks=STRANGERS)) as spamd:
        told = await spamd(ask("TELL", SPAM, "Message-class: ham", "Set: local", f"User: {ANN}"))
        asked = await spamd(ask("CHECK"))

    assert (told, world.standing()) == (b"SPAMD/1.1 0 EX_OK\r\n\r\n\r\n", [])
    assert asked.startswith(b"SPAMD/1.1 0")
    assert world.metric("filterd_reports_total", origin="spamd", result="refused") == 1
    assert [event["event"] for event in world.log.entries if event["event"] == "report.refused"] == ["report.refused"]


async def test_client_from_elsewhere_may_not_ask() -> None:
    """Nothing is read of what it sends."""
    world = World()
    async with world.spamd(SpamdSettings(networks=STRANGERS)) as spamd:
        assert await spamd(ask("CHECK")) == b"SPAMD/1.0 77 Not allowed\r\n"
        assert world.metric("filterd_sessions_refused_total", edge="spamd") == 1
    assert world.scanner.seen == []


async def test_a10_clients_from_elsewhere_take_no_place_of_those_that_may_ask() -> None:
    """However many knock, there is room for who is let in."""
    world = World()
    async with world.spamd(SpamdSettings(networks=STRANGERS, max_sessions=0)) as spamd:
        assert await spamd(ask("CHECK")) == b"SPAMD/1.0 77 Not allowed\r\n"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (ask("CHECK", b"", length=99_999_999), b"SPAMD/1.0 65 Message too large\r\n"),
        (b"CHECK SPAMC/1.5\r\n\r\n" + bytes(MOST_BYTES + 1), b"SPAMD/1.0 65 Message too large\r\n"),
        (ask("CHECK", zlib.compress(bytes(1 << 24)), "Compress: zlib"), b"SPAMD/1.0 65 Message too large\r\n"),
        (
            ask("CHECK", SPAM, length=len(SPAM) + 1),
            b"SPAMD/1.0 76 (Content-Length mismatch: Expected 46 bytes, got 45 bytes)\r\n",
        ),
        (b"CHECK SPAMC/1.5\r\n" + b"a" * 200_000, b"SPAMD/1.0 76 Bad header line: too long\r\n"),
        (b"CHECK SPAMC/1.5\r\n" + b"a: b\r\n" * 60_000, b"SPAMD/1.0 76 Too many headers\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"SPAMD/1.0 76 Bad header line: GET / HTTP/1.1\r\n"),
    ],
    ids=["huge-length", "no-length", "bomb", "short", "long-line", "many-lines", "http"],
)
async def test_b4_a9_request_that_breaks_a_limit_is_refused_and_counted(request_: bytes, answer: bytes) -> None:
    """Bombs, lies about the length and floods of headers cost no more than the limits."""
    world = World()
    async with world.spamd() as spamd:
        assert await spamd(request_) == answer
    assert world.scanner.seen == []
    counted = [world.metric("filterd_unjudged_total", why=why) for why in ("too_large", "broken")]
    assert sum(counted) == 1


async def test_a9_request_that_drips_ends_in_time() -> None:
    """A client that does not go on is told so and closed."""
    async with World().spamd(SpamdSettings(receive_timeout_seconds=0.05)) as spamd:
        answer = await spamd(b"CHECK SPAMC/1.5\r\nContent-length: 9\r\n\r\nabc", is_closing=False)

    assert answer == b"SPAMD/1.0 79 Timeout: the request took too long\r\n"


async def test_a10_connections_over_their_limit_hear_tempfail() -> None:
    """More sessions than there may be: try again."""
    world = World()
    async with world.spamd(SpamdSettings(max_sessions=1)) as spamd:
        first = spamd(b"CHECK SPAMC/1.5\r\n", is_closing=False)
        await until(lambda: world.metric("filterd_sessions", edge="spamd") == 1)
        second = await spamd(ask("CHECK"))
        first.cancel()

    assert second == b"SPAMD/1.0 75 Too busy\r\n"
    assert world.metric("filterd_sessions_refused_total", edge="spamd") == 1


async def test_a10_messages_over_the_memory_for_all_hear_tempfail() -> None:
    """What waits in memory is counted as it grows, whatever was announced."""
    world = World()
    async with world.spamd(budget_bytes=100) as spamd:
        slow = spamd(b"CHECK SPAMC/1.5\r\nContent-length: 90\r\n\r\n" + bytes(60), is_closing=False)
        await until(lambda: world.budget.used == 60)
        second = await spamd(ask("CHECK", bytes(90)))
        counted = world.metric("filterd_unjudged_total", why="busy")
        slow.cancel()

    assert (second, counted) == (b"SPAMD/1.0 75 Too busy\r\n", 1)


async def test_drain_tells_a_client_in_the_middle_of_its_request_to_try_again() -> None:
    """A restart costs nobody an opinion that was not asked for whole."""
    world = World()
    async with world.spamd() as spamd:
        half = spamd(b"CHECK SPAMC/1.5\r\nContent-length: 9\r\n\r\nabc", is_closing=False)
        await until(lambda: world.budget.used == 3)

    assert await half == b"SPAMD/1.0 75 Too busy\r\n"
    assert world.budget.used == 0


async def test_a6_user_with_control_characters_reaches_no_record() -> None:
    """What a client calls its user is made printable before it stands anywhere."""
    world = World()
    async with world.spamd() as spamd:
        refused = await spamd(ask("CHECK", SPAM, "User: a\rSet: local"))
        await spamd(ask("CHECK", SPAM, "User: a\x00\x1b[1m b\xe9"))

    assert refused.startswith(b"SPAMD/1.0 76 ")
    (row,) = await world.store.recent()
    assert row.recipients == ("a??[1m?b?",)
