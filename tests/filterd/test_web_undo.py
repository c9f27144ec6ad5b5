"""One button takes back what one form did, and nothing that anybody else did."""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator

import pytest

from filterd.core.access import Role
from filterd.core.verdict import Label
from filterd.ports import HeldState
from filterd.testing import an_envelope
from tests.filterd.test_web_quarantine import ANN, BOB, HOLD, RAW, nth
from tests.filterd.web_visitor import House, Visitor, a_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house()
    for n, to in ((1, (ANN,)), (2, (BOB,)), (3, (ANN, BOB))):
        await house.store.hold(an_envelope("eve@spam.example", *to, id=nth(n)), RAW, HOLD)
    yield house
    await house.close()


async def ann(house: House) -> Visitor:
    return await house.person(Role.USER, ANN, addresses=(ANN,))


async def act(house: House, visitor: Visitor, path: str, fields: dict[str, str]) -> str:
    """Send a form; the span that its answer offers to take back."""
    house.clock.advance(60)
    answer = await visitor.post(path, fields)
    assert answer.status_code == 303, answer.text
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)
    return query["undo"][0]


async def test_deletion_is_taken_back(house: House) -> None:
    visitor = await ann(house)
    span = await act(house, visitor, "/quarantine", {"do": "delete", "id": nth(1)})

    answer = await visitor.post("/undo", {"span": span, "back": "/quarantine"})

    assert answer.headers["location"] == "/quarantine?said=undone"
    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD


async def test_block_is_taken_back_with_the_message_and_the_rule(house: House) -> None:
    visitor = await ann(house)
    span = await act(house, visitor, "/quarantine", {"do": "block", "id": nth(1)})
    assert await house.store.rules.list()

    await visitor.post("/undo", {"span": span})

    assert not await house.store.rules.list()
    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD


async def test_report_is_taken_back(house: House) -> None:
    visitor = await ann(house)
    span = await act(house, visitor, "/history", {"do": "spam", "id": nth(1)})
    assert [given.label for given in house.store.ledger.standing()] == [Label.SPAM]

    await visitor.post("/undo", {"span": span})

    assert not house.store.ledger.standing()


async def test_release_cannot_be_called_back_but_what_it_taught_is_undone(house: House) -> None:
    visitor = await ann(house)
    span = await act(house, visitor, "/quarantine", {"do": "teach", "id": nth(1)})

    answer = await visitor.post("/undo", {"span": span, "back": "/quarantine"})

    assert answer.headers["location"] == "/quarantine?said=undone_release"
    assert not house.store.ledger.standing()
    assert len(house.relay.sent) == 1


async def test_only_ones_own_deeds_are_taken_back(house: House) -> None:
    visitor, root = await ann(house), await house.person(Role.ADMINISTRATOR)
    span = await act(house, root, "/quarantine", {"do": "block", "id": nth(2)})

    answer = await visitor.post("/undo", {"span": span})

    assert answer.status_code == 409
    assert await house.store.rules.list()


async def test_what_was_done_before_stays(house: House) -> None:
    visitor = await ann(house)
    await act(house, visitor, "/rules/entry", {"scope": ANN, "kind": "allow", "entries": "friend@example.com"})
    span = await act(house, visitor, "/rules/entry", {"scope": ANN, "kind": "deny", "entries": "foe@example.com"})

    await visitor.post("/undo", {"span": span})

    assert [row.given.rule.entry for row in await house.store.rules.list()] == ["friend@example.com"]  # type: ignore[union-attr]  # list entries


@pytest.mark.parametrize(
    "span",
    [
        "",
        "x~y",
        "2026-01-01~2026-01-02",
        "2026-01-01T00:00:00+00:00~2026-01-01T00:00:00+00:00",
        "1970-01-01T00:00:00+00:00~2999-01-01T00:00:00+00:00",
    ],
    ids=["empty", "words", "days", "nothing", "everything"],
)
async def test_span_that_no_form_gave_is_refused(house: House, span: str) -> None:
    visitor = await ann(house)
    await act(house, visitor, "/rules/entry", {"scope": ANN, "kind": "allow", "entries": "friend@example.com"})

    assert (await visitor.post("/undo", {"span": span})).status_code == 409
    assert await house.store.rules.list()


async def test_undo_leads_nowhere_else(house: House) -> None:
    visitor = await ann(house)
    span = await act(house, visitor, "/history", {"do": "spam", "id": nth(1)})

    answer = await visitor.post("/undo", {"span": span, "back": "https://evil.example/"})

    assert answer.headers["location"] == "/?said=undone"


async def test_deleted_message_is_put_back_from_the_list_by_those_who_reach_it(house: House) -> None:
    visitor, bob = await ann(house), await house.person(Role.USER, BOB, addresses=(BOB,))
    await act(house, visitor, "/quarantine", {"do": "delete", "id": nth(1)})
    assert "eve@spam.example" in (await visitor.get("/quarantine?state=deleted")).text

    assert (await bob.post("/restore", {"id": nth(1)})).status_code == 404
    assert (await visitor.post("/restore", {"id": nth(1)})).status_code == 303

    assert (await house.store.held(nth(1))).summary.state is HeldState.HELD
