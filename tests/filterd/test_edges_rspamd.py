"""The rspamd edge: who may ask and teach, limits, and what a client hears when something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from filterd.core.verdict import Label
from filterd.edge_settings import RspamdSettings
from filterd.edges import rspamd as edge
from filterd.edges.rspamd import RspamdParts, rspamd_app
from filterd.errors import Overloaded, ScanDown, StoreUnavailable, Unscannable
from filterd.setting_types import Secret
from tests.filterd.advised import HAM, MOST_BYTES, SPAM, World

ANN = "ann@example.net"
HERE, ELSEWHERE = "127.0.0.1", "203.0.113.5"


class Client:
    """A world, and what asks it over HTTP."""

    def __init__(self, **settings: Any) -> None:
        self.world = World("rspamd")
        self.settings = RspamdSettings(**settings)

    async def ask(
        self, path: str, raw: bytes | AsyncIterator[bytes] = SPAM, *, client: str = HERE, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer."""
        world = self.world
        parts = RspamdParts(
            adviser=world.adviser,
            labeller=world.labeller,
            budget=world.budget,
            counts=world.counts,
            metrics=world.metrics,
            events=world.events,
        )
        transport = httpx2.ASGITransport(app=rspamd_app(self.settings, parts), client=(client, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://filter.example") as http:
            answer = await http.post(path, content=raw, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert world.budget.used == 0
        return answer.status_code, answer.json()


async def test_message_is_judged_as_its_headers_say() -> None:
    """Sender, recipients and the client's client are in the verdict."""
    client = Client()

    status, found = await client.ask(
        "/checkv2", From="<eve@example.com>", Rcpt="a@example.net, b@example.net", Ip="192.0.2.7", Helo="x"
    )

    (row,) = await client.world.store.recent()
    assert (status, found["action"], found["score"] >= 15) == (200, "add header", True)
    assert (row.sender, row.recipients, row.peer) == (
        "eve@example.com",
        ("a@example.net", "b@example.net"),
        "192.0.2.7",
    )
    assert found["symbols"]["FILTERD_ID"]["options"] == [row.id]


@pytest.mark.parametrize("path", ["/check", "/scan", "/symbols"])
async def test_old_names_of_the_check_are_answered_alike(path: str) -> None:
    """Clients use several."""
    status, found = await Client().ask(path, HAM)

    assert (status, found["action"]) == (200, "no action")


@pytest.mark.invariant("I9")
async def test_client_while_mail_is_deferred_is_told_to_soft_reject() -> None:
    """A client's sender tries again, as ours would."""
    client = Client()
    client.world.scanner.failure = Overloaded()

    status, found = await client.ask("/checkv2")

    assert (status, found["action"], found["is_skipped"]) == (200, "soft reject", True)


@pytest.mark.invariant("I9")
async def test_client_when_unscored_mail_would_pass_hears_503() -> None:
    """Never "no action": whether it lets mail pass that nobody scored is the client's own setting."""
    client = Client()
    client.world.scanner.failure = ScanDown()
    client.world.clock.advance(1)
    await client.ask("/checkv2")
    client.world.clock.advance(400)

    status, found = await client.ask("/checkv2")

    assert (status, found["error"]) == (503, "temporary error")


@pytest.mark.parametrize(
    ("raw", "headers", "status", "why"),
    [
        (bytes(MOST_BYTES + 1), {}, 413, "too_large"),
        (SPAM, {"Compression": "zstd"}, 400, "broken"),
        (SPAM, {"Content_Encoding": "zstd"}, 400, "broken"),
        (SPAM, {"Key": "abc"}, 400, "broken"),
    ],
    ids=["too-large", "compression", "content-encoding", "encrypted"],
)
async def test_b4_request_that_is_not_taken_says_why(
    raw: bytes, headers: dict[str, Any], status: int, why: str
) -> None:
    """Nothing is unpacked, and nothing larger than a message is read."""
    client = Client()

    found = await client.ask("/checkv2", raw, **headers)

    assert (found[0], set(found[1])) == (status, {"error"})
    assert client.world.metric("filterd_unjudged_total", why=why) == 1
    assert client.world.scanner.seen == []


async def test_a9_message_without_a_length_is_counted_as_it_comes() -> None:
    """A stream that does not end is refused at the limit."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_000)

    assert (await Client().ask("/checkv2", endless()))[0] == 413


async def test_d14_headers_that_name_files_are_not_read() -> None:
    """The message is the body, whatever File, Path or Shm say."""
    client = Client()

    status, found = await client.ask("/checkv2", HAM, File="/etc/passwd", Path="/etc/passwd", Shm="x")

    assert (status, found["action"]) == (200, "no action")


@pytest.mark.parametrize(("path", "label"), [("/learnspam", Label.SPAM), ("/learnham", Label.HAM)], ids=["spam", "ham"])
async def test_label_is_written_down_for_whose_mail_it_is_and_said_twice_is_208(path: str, label: Label) -> None:
    """Deliver-To says who; without it and without User all clients are one reporter."""
    client = Client()

    first, again = await client.ask(path, Deliver_To=ANN), await client.ask(path, Deliver_To=ANN)
    nobody = await client.ask(path)

    assert (first, again[0], nobody[0]) == ((200, {"success": True}), 208, 200)
    assert [entry[1:] for entry in client.world.standing()] == [(label, ANN, "rspamd"), (label, "rspamd", "rspamd")]


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 401),
        ({}, {"Password": ""}, 401),
        ({"password": Secret("s3cret")}, {"Password": "guess"}, 401),
        ({"password": Secret("s3cret")}, {"Password": "s3cret"}, 200),
        ({"learn_networks": ("203.0.113.0/24",)}, {}, 200),
    ],
    ids=["no-password-set", "empty", "wrong", "right", "network"],
)
async def test_c2_label_from_elsewhere_needs_the_password(
    settings: dict[str, Any], headers: dict[str, Any], status: int
) -> None:
    """Whoever may ask may not teach, unless they are listed or know the password."""
    client = Client(networks=("0.0.0.0/0",), **settings)

    found = await client.ask("/learnham", client=ELSEWHERE, **headers)

    assert found[0] == status
    assert len(client.world.standing()) == (status == 200)
    assert client.world.metric("filterd_reports_total", origin="rspamd", result="refused") == (status != 200)


async def test_c2_label_that_a_page_has_a_browser_send_is_not_believed() -> None:
    """A browser on a trusted machine sends what any page asks it to, and says which."""
    client = Client(password=Secret("s3cret"))

    found = await client.ask("/learnham", Origin="https://evil.example", Password="s3cret")

    assert (found[0], client.world.standing()) == (401, [])


async def test_client_from_elsewhere_may_not_ask() -> None:
    """Not even for figures."""
    client = Client()

    assert [(await client.ask(path, client=ELSEWHERE))[0] for path in ("/checkv2", "/learnham", "/stat")] == [403] * 3
    assert client.world.scanner.seen == []


@pytest.mark.parametrize(
    ("failure", "status"), [(StoreUnavailable(), 503), (ScanDown(), 503), (Unscannable(), 422)], ids=str
)
async def test_label_that_cannot_be_written_down_is_no_success(failure: Exception, status: int) -> None:
    """The client may try again, but for a message nothing can be learned from."""
    client = Client()
    if isinstance(failure, StoreUnavailable):
        client.world.store.failure = failure
    else:
        client.world.scanner.failure = failure

    assert (await client.ask("/learnspam"))[0] == status
    assert client.world.standing() == []


async def test_a9_message_that_drips_ends_in_time() -> None:
    """A client that does not go on is refused."""

    async def dripping() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)
        yield b"y"

    status, _ = await Client(receive_timeout_seconds=0.05).ask("/checkv2", dripping())

    assert status == 408


async def test_stat_counts_what_was_asked() -> None:
    """In rspamd's words."""
    client = Client()
    await client.ask("/checkv2", SPAM)
    await client.ask("/checkv2", HAM)

    status, found = await client.ask("/stat", b"")

    assert (status, found["scanned"], found["actions"]) == (200, 2, {"add header": 1, "no action": 1})


def test_client_on_a_unix_socket_is_trusted_and_an_unknown_one_is_not() -> None:
    """A client whose address is gone is in no network."""

    def client(**scope: object) -> str | None:
        return edge._client_of(Request({"type": "http", "headers": [], **scope}))

    assert client(client=None, server=("/run/filterd.sock", None)) is None
    assert client(client=None, server=("127.0.0.1", 11333)) == ""
    assert client(client=("192.0.2.1", 5), server=("127.0.0.1", 11333)) == "192.0.2.1"
