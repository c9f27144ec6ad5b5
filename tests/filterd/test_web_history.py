"""History and campaigns: every verdict within reach, labels on them, and a group of near copies at one click."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from filterd.core.access import Role
from filterd.core.verdict import Action, Decision, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.ports import HeldState
from filterd.testing import a_scan, an_envelope
from tests.filterd.test_web_quarantine import ANN, BOB, HOLD, RAW, nth, person
from tests.filterd.web_visitor import House, a_house

RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
PASS = Decision(action=Action.ACCEPT, reason=Reason.HAM, threshold=0.9, scan=a_scan(0.2))
NEAR = "0" * 64


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """1 for Ann, 2 for Bob, 3 for both passed; 4, 5 and 6 are one campaign that is held; 7 passed, and is like them."""
    house = a_house()
    for n, to in ((1, (ANN,)), (2, (BOB,)), (3, (ANN, BOB))):
        message = an_envelope(f"sender{n}@example.com", *to, id=nth(n))
        decision = replace(PASS, scan=replace(a_scan(0.1 * n), fingerprint=""))
        await house.store.record(Verdict.of(message, 10, decision, RELAYED, {}))
    wave = replace(HOLD, scan=replace(a_scan(0.97), fingerprint=NEAR))
    for n, recipient in ((4, ANN), (5, BOB), (6, BOB)):
        await house.store.hold(an_envelope(f"wave{n}@spam.example", recipient, id=nth(n)), RAW + b"%d" % n, wave)
    passed = replace(PASS, scan=replace(a_scan(0.5), fingerprint=NEAR))
    await house.store.record(Verdict.of(an_envelope("wave7@spam.example", BOB, id=nth(7)), 10, passed, RELAYED, {}))
    yield house
    await house.close()


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.USER, {1, 3, 4}),
        (Role.MODERATOR, {2, 3, 5, 6, 7}),
        (Role.ADMINISTRATOR, {1, 2, 3, 4, 5, 6, 7}),
        (Role.AUDITOR, {1, 2, 3, 4, 5, 6, 7}),
    ],
)
async def test_verdicts_are_those_within_reach(house: House, role: Role, seen: set[int]) -> None:
    visitor = await person(house, role)
    page = (await visitor.get("/history")).text

    assert {n for n in range(1, 8) if f'href="/history/{nth(n)}"' in page} == seen
    for n in range(1, 8):
        assert (await visitor.get(f"/history/{nth(n)}")).status_code == (200 if n in seen else 404)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"sender": "wave"}, {4, 5, 6, 7}),
        ({"recipient": "ann@"}, {1, 3, 4}),
        ({"action": "accept"}, {1, 2, 3, 7}),
        ({"action": "quarantine", "reason": "spam"}, {4, 5, 6}),
        ({"least": "15", "most": "60"}, {2, 3, 7}),
        ({"channel": "sms"}, set()),
        ({"q": "sender2"}, {2}),
    ],
)
async def test_history_is_filtered(house: House, filters: dict[str, str], found: set[int]) -> None:
    root = await person(house, Role.ADMINISTRATOR)
    page = (await root.get(f"/history?{urllib.parse.urlencode(filters)}")).text

    assert {n for n in range(1, 8) if f'href="/history/{nth(n)}"' in page} == found


async def test_history_has_pages_that_together_hold_everything(house: House) -> None:
    for n in range(100, 230):
        message = an_envelope("many@example.com", ANN, id=nth(n))
        await house.store.record(Verdict.of(message, 10, PASS, RELAYED, {}))
    root, path, seen = await person(house, Role.ADMINISTRATOR), "/history", list[str]()
    while path:
        page = (await root.get(path)).text
        seen += re.findall(r'href="/history/([0-9a-f]{32})"', page)
        older = re.search(r'href="([^"]*)" rel="next"', page)
        path = older.group(1).replace("&amp;", "&") if older else ""

    assert len(seen) == len(set(seen)) == 137


@pytest.mark.parametrize("verb", ["spam", "ham"])
async def test_report_from_the_history_is_the_persons_own(house: House, verb: str) -> None:
    ann = await person(house, Role.USER)

    answer = await ann.post("/history", {"do": verb, "id": nth(3), "back": f"/history/{nth(3)}"})

    assert answer.headers["location"].startswith(f"/history/{nth(3)}?said={verb}&n=1&undo=")
    (label,) = house.store.ledger.standing()
    assert (label.label, label.reporter, label.recipient) == (Label(verb), ANN, ANN)


async def test_nobody_labels_what_is_out_of_reach(house: House) -> None:
    ann, auditor = await person(house, Role.USER), await person(house, Role.AUDITOR)

    assert (await ann.post("/history", {"do": "spam", "id": nth(2)})).status_code == 404
    assert (await auditor.post("/history", {"do": "spam", "id": nth(2)})).status_code == 409
    assert (await ann.post("/history", {"do": "release", "id": nth(1)})).status_code == 409
    assert not house.store.ledger.standing()


async def test_campaign_groups_near_copies_as_far_as_one_reaches(house: House) -> None:
    root, mod = await person(house, Role.ADMINISTRATOR), await person(house, Role.MODERATOR)

    everything = (await root.get("/campaigns")).text
    own = (await mod.get("/campaigns")).text

    assert "4 messages from 4 senders, 3 held" in everything
    assert "3 messages from 3 senders, 2 held" in own
    assert ANN not in own


async def test_campaign_is_released_at_one_click_within_reach_and_no_further(house: House) -> None:
    mod = await person(house, Role.MODERATOR)

    answer = await mod.post("/campaigns", {"do": "release", "id": nth(7)})

    assert "said=release&n=2" in answer.headers["location"]
    assert {envelope.recipients[0].address for envelope, _ in house.relay.sent} == {BOB}
    assert (await house.store.held(nth(4))).summary.state is HeldState.HELD


async def test_campaign_is_labelled_by_one_label_and_undone_by_one_button(house: House) -> None:
    root = await person(house, Role.ADMINISTRATOR)
    house.clock.advance(60)
    answer = await root.post("/campaigns", {"do": "spam", "id": nth(7)})
    (label,) = house.store.ledger.standing()
    assert (label.label, label.is_for_all) == (Label.SPAM, True)

    span = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)["undo"][0]
    await root.post("/undo", {"span": span})

    assert not house.store.ledger.standing()


async def test_campaign_is_deleted_and_put_back(house: House) -> None:
    root = await person(house, Role.ADMINISTRATOR)
    house.clock.advance(60)
    answer = await root.post("/campaigns", {"do": "delete", "id": nth(7)})
    assert await house.store.count_held() == 0

    span = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)["undo"][0]
    await root.post("/undo", {"span": span})

    assert await house.store.count_held() == 3


@pytest.mark.parametrize(
    "fields", [{}, {"do": "release"}, {"do": "release", "id": "f" * 32}, {"do": "explode", "id": "0"}]
)
async def test_campaign_that_is_not_there_is_not_found(house: House, fields: dict[str, str]) -> None:
    root = await person(house, Role.ADMINISTRATOR)

    assert (await root.post("/campaigns", fields)).status_code == 404
    assert not house.relay.sent


async def test_campaigns_are_for_staff(house: House) -> None:
    ann, auditor = await person(house, Role.USER), await person(house, Role.AUDITOR)

    assert (await ann.get("/campaigns")).status_code == 403
    assert (await ann.post("/campaigns", {"do": "spam", "id": nth(7)})).status_code == 403
    assert (await auditor.get("/campaigns")).status_code == 200
    assert (await auditor.post("/campaigns", {"do": "spam", "id": nth(7)})).status_code == 403
    assert not house.store.ledger.standing()
