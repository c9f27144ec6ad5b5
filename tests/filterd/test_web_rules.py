"""Settings: thresholds with a preview, lists of senders, and whose they may be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from filterd.core.access import Role
from filterd.core.envelope import MessageId
from filterd.core.overlay import OFF, ListEntry, ListKind, Thresholds
from filterd.core.threshold_preview import POSITIONS
from filterd.core.verdict import Action, Decision, Feedback, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.testing import a_scan, an_envelope
from tests.filterd.web_visitor import House, Visitor, a_house

ANN, BOB = "ann@example.org", "bob@example.net"
RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house()
    yield house
    await house.close()


async def person(house: House, role: Role) -> Visitor:
    if role is Role.USER:
        return await house.person(role, ANN, addresses=(ANN, "15550001"))
    return await house.person(role, domains=("example.net",))


async def test_user_sets_a_threshold_for_each_of_their_addresses_only(house: House) -> None:
    ann = await person(house, Role.USER)

    own = await ann.post("/rules/threshold", {"scope": ANN, "at": "3"})
    foreign = await ann.post("/rules/threshold", {"scope": BOB, "at": "3"})
    everybody = await ann.post("/rules/threshold", {"scope": "", "at": "3"})

    assert own.headers["location"].startswith("/rules?scope=ann%40example.org&said=threshold")
    assert (foreign.status_code, everybody.status_code) == (404, 404)
    (row,) = await house.store.rules.list()
    assert row.given.rule == Thresholds(scope=ANN, quarantine_at=POSITIONS[3])


@pytest.mark.parametrize(
    ("role", "scope", "status"),
    [
        (Role.MODERATOR, "example.net", 303),
        (Role.MODERATOR, "example.org", 404),
        (Role.MODERATOR, "", 404),
        (Role.ADMINISTRATOR, "", 303),
        (Role.AUDITOR, "", 403),
    ],
)
async def test_lists_are_for_those_one_looks_after(house: House, role: Role, scope: str, status: int) -> None:
    visitor = await person(house, role)

    answer = await visitor.post("/rules/entry", {"scope": scope, "kind": "deny", "entries": "Spam.Example"})

    assert answer.status_code == status
    rules = [row.given.rule for row in await house.store.rules.list()]
    assert rules == ([ListEntry(scope=scope, kind=ListKind.DENY, entry="spam.example")] if status == 303 else [])


async def test_last_position_holds_nothing(house: House) -> None:
    ann = await person(house, Role.USER)

    await ann.post("/rules/threshold", {"scope": ANN, "at": str(len(POSITIONS))})

    (row,) = await house.store.rules.list()
    assert row.given.rule == Thresholds(scope=ANN, quarantine_at=OFF)


async def test_several_senders_are_added_at_once_and_bad_ones_refused_altogether(house: House) -> None:
    ann = await person(house, Role.USER)

    bad = await ann.post("/rules/entry", {"scope": ANN, "kind": "allow", "entries": "a@b.example\n\x01"})
    assert bad.status_code == 409
    assert not await house.store.rules.list()
    await ann.post("/rules/entry", {"scope": ANN, "kind": "allow", "entries": "a@b.example, c.example\n192.0.2.0/24"})

    page = (await ann.get(f"/rules?scope={ANN}")).text
    for entry in ("a@b.example", "c.example", "192.0.2.0/24"):
        assert f"<td>{entry}</td>" in page


async def test_lists_have_pages_and_are_searched_and_hide_no_threshold(house: House) -> None:
    ann = await person(house, Role.USER)
    await ann.post("/rules/threshold", {"scope": ANN, "at": "3"})
    for start in (0, 40):
        some = "\n".join(f"s{n}@list.example" for n in range(start, start + 40))
        await ann.post("/rules/entry", {"scope": ANN, "kind": "deny", "entries": some})
    await ann.post("/rules/entry", {"scope": ANN, "kind": "allow", "entries": "friend@b.example"})

    first = (await ann.get(f"/rules?scope={ANN}")).text
    older = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = (await ann.get(older)).text
    found = (await ann.get(f"/rules?scope={ANN}&find=S7@")).text

    assert [page.count("@list.example</td>") for page in (first, second, found)] == [50, 30, 1]
    assert [page.count("friend@b.example</td>") for page in (first, second, found)] == [1, 1, 0]
    for page in (first, second, found):
        assert "Back to what the house has set" in page
    assert 'rel="next"' not in second


async def test_rule_is_taken_back_by_those_whose_it_is(house: House) -> None:
    ann, mod = await person(house, Role.USER), await person(house, Role.MODERATOR)
    await ann.post("/rules/entry", {"scope": ANN, "kind": "allow", "entries": "a@b.example"})
    (row,) = await house.store.rules.list()

    assert (await mod.post("/rules/revoke", {"rule": str(row.id)})).status_code == 404
    assert (await ann.post("/rules/revoke", {"rule": "x"})).status_code == 404
    assert (await ann.post("/rules/revoke", {"rule": str(row.id)})).status_code == 303
    assert not await house.store.rules.list()


async def test_preview_counts_ones_own_messages_of_the_last_thirty_days(house: House) -> None:
    async def judged(n: int, to: str, probability: float) -> MessageId:
        message = an_envelope("eve@spam.example", to, id=MessageId(f"{n:032x}"))
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan(probability))
        await house.store.record(Verdict.of(message, 1, decision, RELAYED, {}))
        return message.id

    for n, probability in enumerate((0.1, 0.4, 0.65, 0.96), 1):
        await judged(n, ANN, probability)
    await judged(9, BOB, 0.99)
    wanted = Feedback(message_id=MessageId(f"{4:032x}"), label=Label.HAM, reporter=ANN, given_at=house.clock.now())
    await house.store.add_feedback(wanted)
    missed = Feedback(message_id=MessageId(f"{2:032x}"), label=Label.SPAM, reporter=ANN, given_at=house.clock.now())
    await house.store.add_feedback(missed)
    ann = await person(house, Role.USER)

    low = (await ann.get(f"/rules/preview?scope={ANN}&at=1")).text
    page = (await ann.get(f"/rules?scope={ANN}&at={len(POSITIONS)}")).text

    assert [int(cell.split("<")[0]) for cell in low.split("<dd>")[1:]] == [4, 2, 1, 1]
    assert "<html" not in low
    assert [int(cell.split("<")[0]) for cell in page.split('id="outlook"')[1].split("<dd>")[1:5]] == [4, 0, 0, 1]


async def test_account_without_an_address_is_told_so(house: House) -> None:
    nobody = await house.person(Role.USER, "nobody")

    assert (await nobody.get("/rules")).status_code == 409
