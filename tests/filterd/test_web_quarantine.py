"""The quarantine's pages: who sees what, and what the buttons do to whom."""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from filterd.core.access import Role
from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Evidence, Label, Reason
from filterd.errors import RelayUnavailable
from filterd.ports import HeldState
from filterd.testing import a_scan, an_envelope
from tests.filterd.web_visitor import House, Visitor, a_house

RAW = b"Subject: You won\r\nFrom: Eve <eve@spam.example>\r\n\r\nlottery winner\r\n"
SCAN = replace(
    a_scan(0.97), logit=3.0, evidence=(Evidence(token="lottery", weight=2.5), Evidence(token="agenda", weight=-0.5))
)
HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, detail="lenient", threshold=0.9, scan=SCAN)
ANN, BOB = "ann@example.org", "bob@example.net"


def nth(n: int) -> MessageId:
    return MessageId(f"{n:032x}")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house()
    for n, to in ((1, (ANN,)), (2, (BOB,)), (3, (ANN, BOB))):
        await house.store.hold(an_envelope("eve@spam.example", *to, id=nth(n)), RAW, HOLD)
    yield house
    await house.close()


async def person(house: House, role: Role) -> Visitor:
    more = {
        Role.USER: {"name": ANN, "addresses": (ANN,)},
        Role.MODERATOR: {"domains": ("example.net",)},
    }
    return await house.person(role, **more.get(role, {}))  # type: ignore[arg-type]  # fields of Account


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.USER, {1, 3}),
        (Role.MODERATOR, {2, 3}),
        (Role.ADMINISTRATOR, {1, 2, 3}),
        (Role.AUDITOR, {1, 2, 3}),
    ],
)
async def test_everybody_sees_what_is_within_reach_and_no_more(house: House, role: Role, seen: set[int]) -> None:
    visitor = await person(house, role)

    page = (await visitor.get("/quarantine")).text

    assert {n for n in (1, 2, 3) if f"/quarantine/{nth(n)}" in page} == seen
    for n in (1, 2, 3):
        expected = 200 if n in seen else 404
        assert (await visitor.get(f"/quarantine/{nth(n)}")).status_code == expected
    if role is Role.USER:
        assert BOB not in page
        assert BOB not in (await visitor.get(f"/quarantine/{nth(3)}")).text


async def test_foreign_and_absent_messages_cannot_be_told_apart(house: House) -> None:
    ann = await person(house, Role.USER)
    for tail in ("", "/raw", "/preview"):
        foreign = await ann.get(f"/quarantine/{nth(2)}{tail}")
        absent = await ann.get(f"/quarantine/{'f' * 32}{tail}")
        assert foreign.status_code == absent.status_code == 404
        assert foreign.text.replace(nth(2), "") == absent.text.replace("f" * 32, "")


@pytest.mark.parametrize("verb", ["release", "teach", "allow", "block", "delete"])
async def test_nobody_acts_beyond_their_reach(house: House, verb: str) -> None:
    ann = await person(house, Role.USER)

    answer = await ann.post("/quarantine", {"do": verb, "id": nth(2)})

    assert answer.status_code == 404
    assert (await house.store.held(nth(2))).summary.state is HeldState.HELD
    assert not house.relay.sent
    assert not await house.store.rules.list()


@pytest.mark.parametrize("verb", ["release", "teach", "allow", "block", "delete"])
async def test_auditor_changes_nothing_and_reads_no_body(house: House, verb: str) -> None:
    auditor = await person(house, Role.AUDITOR)

    answer = await auditor.post("/quarantine", {"do": verb, "id": nth(1)})
    page = await auditor.get(f"/quarantine/{nth(1)}")

    assert answer.status_code == 409
    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD
    assert "lottery winner" not in page.text
    assert (await auditor.get(f"/quarantine/{nth(1)}/raw")).status_code == 404
    assert (await auditor.get(f"/quarantine/{nth(1)}/preview")).status_code == 404


async def test_release_delivers_once_to_those_within_reach(house: House) -> None:
    ann = await person(house, Role.USER)

    first = await ann.post("/quarantine", {"do": "release", "id": nth(3)})
    again = await ann.post("/quarantine", {"do": "release", "id": nth(3)})

    assert first.headers["location"].startswith("/quarantine?said=release&n=1")
    assert again.status_code == 409
    ((envelope, raw),) = house.relay.sent
    assert [recipient.address for recipient in envelope.recipients] == [ANN]
    assert raw.endswith(RAW)
    assert (await house.store.held(nth(3))).summary.recipients == (BOB,)
    assert (await house.store.held(nth(3))).summary.state is HeldState.HELD


async def test_teaching_labels_and_releasing_does_not(house: House) -> None:
    ann = await person(house, Role.USER)

    await ann.post("/quarantine", {"do": "release", "id": nth(3)})
    assert not house.store.ledger.standing()
    await ann.post("/quarantine", {"do": "teach", "id": nth(1)})

    (label,) = house.store.ledger.standing()
    assert (label.label, label.reporter) == (Label.HAM, ANN)


@pytest.mark.parametrize(
    ("role", "id", "scopes"),
    [(Role.USER, 1, {ANN}), (Role.MODERATOR, 2, {"example.net"}), (Role.ADMINISTRATOR, 3, {""})],
)
async def test_allowing_a_sender_holds_for_whom_one_may_decide(
    house: House, role: Role, id: int, scopes: set[str]
) -> None:
    visitor = await person(house, role)

    await visitor.post("/quarantine", {"do": "allow", "id": nth(id)})

    rows = await house.store.rules.list()
    assert {row.given.rule.scope for row in rows} == scopes
    assert {row.given.rule.entry for row in rows} == {"eve@spam.example"}  # type: ignore[union-attr]  # list entries
    assert len(house.relay.sent) == 1


async def test_blocking_a_sender_deletes_the_message_and_delivers_nothing(house: House) -> None:
    ann = await person(house, Role.USER)

    await ann.post("/quarantine", {"do": "block", "id": nth(1)})

    (row,) = await house.store.rules.list()
    assert (row.given.rule.scope, row.given.by) == (ANN, ANN)
    assert not house.relay.sent
    assert "/quarantine/" + nth(1) not in (await ann.get("/quarantine")).text


async def test_several_are_done_at_once_and_one_failure_does_not_keep_the_others(house: House) -> None:
    root = await person(house, Role.ADMINISTRATOR)

    answer = await root.post("/quarantine", {"do": "release", "id": [nth(1), "f" * 32, nth(2)]})

    assert "n=2" in answer.headers["location"]
    assert len(house.relay.sent) == 2


async def test_next_hop_that_is_away_leaves_the_message_held(house: House) -> None:
    ann = await person(house, Role.USER)
    house.relay.reply = RelayUnavailable("10.0.0.1:25 refused")

    answer = await ann.post("/quarantine", {"do": "release", "id": nth(1)})

    assert answer.status_code == 503
    assert "10.0.0.1" not in answer.text
    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD


@pytest.mark.parametrize(
    "fields", [{}, {"do": "release"}, {"do": "explode", "id": nth(1)}, {"do": "release", "id": "../etc/passwd"}]
)
async def test_form_that_names_nothing_changes_nothing(house: House, fields: dict[str, str]) -> None:
    ann = await person(house, Role.USER)

    assert (await ann.post("/quarantine", fields)).status_code == 409
    assert not house.relay.sent


async def test_get_never_changes_anything(house: House) -> None:
    ann = await person(house, Role.USER)
    for path in (
        f"/quarantine?do=release&id={nth(1)}",
        f"/quarantine/{nth(1)}?do=delete",
        f"/quarantine/{nth(1)}/raw",
        f"/quarantine/{nth(1)}/preview",
        f"/history?do=spam&id={nth(1)}",
        "/rules?entries=eve@spam.example&kind=allow&at=3",
        "/rules/preview?at=1",
    ):
        await ann.get(path)
        await ann.client.head(path)

    assert not house.relay.sent
    assert not house.store.ledger.standing()
    assert not await house.store.rules.list()
    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD


async def test_message_page_shows_text_words_and_threshold(house: House) -> None:
    ann = await person(house, Role.USER)

    page = (await ann.get(f"/quarantine/{nth(1)}")).text

    assert '<mark class="spam-3">lottery</mark> winner' in page
    assert "97.00 %" in page
    assert "90.00 %" in page
    assert "+2.50" in page
    assert "spam-3" in page
    assert 'sandbox src="/quarantine' in page or "iframe" not in page


async def test_raw_message_is_a_file_no_browser_opens(house: House) -> None:
    ann = await person(house, Role.USER)

    answer = await ann.get(f"/quarantine/{nth(1)}/raw")

    assert answer.content == RAW
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_message_without_a_byte_is_there_like_any_other(house: House) -> None:
    """Nothing between DATA and the dot is a message too: it can be looked at, downloaded, and is not called deleted."""
    ann = await person(house, Role.USER)
    await house.store.hold(an_envelope("eve@spam.example", ANN, id=nth(4)), b"", HOLD)

    page, raw = await ann.get(f"/quarantine/{nth(4)}"), await ann.get(f"/quarantine/{nth(4)}/raw")

    assert (page.status_code, raw.status_code, raw.content) == (200, 200, b"")
    assert "deleted" not in page.text


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"q": "EVE@spam"}, {1, 2, 3}),
        ({"sender": "nobody"}, set()),
        ({"recipient": "bob"}, {2, 3}),
        ({"subject": "won"}, {1, 2, 3}),
        ({"reason": "denied"}, set()),
        ({"reason": "spam", "channel": "email"}, {1, 2, 3}),
        ({"channel": "sms"}, set()),
        ({"least": "98"}, set()),
        ({"least": "90", "most": "97.5"}, {1, 2, 3}),
        ({"since": "2999-01-01"}, set()),
        ({"until": "2999-01-01"}, {1, 2, 3}),
        ({"since": "not a day", "least": "x", "before": "y"}, {1, 2, 3}),
        ({"since": "0001-01-01", "until": "9999-12-31"}, {1, 2, 3}),
        ({"state": "released"}, set()),
    ],
)
async def test_list_is_filtered(house: House, filters: dict[str, str], found: set[int]) -> None:
    root = await person(house, Role.ADMINISTRATOR)

    page = (await root.get(f"/quarantine?{urllib.parse.urlencode(filters)}")).text

    assert {n for n in (1, 2, 3) if f'href="/quarantine/{nth(n)}"' in page} == found


@pytest.mark.parametrize(
    ("zone", "told", "day"),
    [
        ("", "2026-01-01 00:00", "2026-01-01"),
        ("America/New_York", "2025-12-31 19:00", "2025-12-31"),
        ("Asia/Kolkata", "2026-01-01 05:30", "2026-01-01"),
        ("Asia/Kolkata~-60", "2026-01-01 05:30", "2026-01-01"),
        ("../../etc/passwd", "2026-01-01 00:00", "2026-01-01"),
    ],
)
async def test_times_and_days_are_those_of_the_zone_that_the_browser_tells(
    house: House, zone: str, told: str, day: str
) -> None:
    ann = await person(house, Role.USER)
    if zone:
        ann.client.cookies.set("zone", zone)

    page = (await ann.get(f"/quarantine?since={day}&until={day}")).text
    message = (await ann.get(f"/quarantine/{nth(1)}")).text

    for shown in (page, message):
        assert f'<time datetime="2026-01-01T00:00:00+00:00">{told}</time>' in shown
        assert f"Times: {zone.partition('~')[0] if told[-5:] != '00:00' else 'UTC'}<" in shown
    assert "etc/passwd" not in page
    assert "data-row" not in (await ann.get(f"/quarantine?until=2025-12-{'31' if day > '2026' else '30'}")).text


async def test_list_has_pages(house: House) -> None:
    for n in range(10, 70):
        await house.store.hold(an_envelope("eve@spam.example", ANN, id=nth(n)), RAW + b"%d" % n, HOLD)
    ann = await person(house, Role.USER)

    first = (await ann.get("/quarantine")).text
    older = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = (await ann.get(older)).text

    assert first.count("data-row") == 50
    assert second.count("data-row") == 12
    assert 'rel="next"' not in second


async def test_hostile_fields_are_escaped_everywhere(house: House) -> None:
    evil = "<script>alert(1)</script>\"'>\u202e"
    raw = f"Subject: {evil}\r\nFrom: {evil}\r\n\r\n{evil}\r\n".encode()
    await house.store.hold(an_envelope("<b>@spam.example", ANN, id=nth(9)), raw, HOLD)
    ann = await person(house, Role.USER)
    for path in ("/quarantine", f"/quarantine/{nth(9)}", "/history", f"/history/{nth(9)}", f"/quarantine?q={evil}"):
        page = (await ann.get(path)).text
        assert "<script>alert" not in page
        assert "<b>@" not in page
        assert "\u202e" not in page or "?q=" in path
