"""The API of held messages and verdicts: what is found, and what is done with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from filterd.account_ports import Scope, Token
from filterd.core.envelope import Channel, MessageId
from filterd.core.secret_digest import digest
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.ports import HeldState, VerdictRow
from filterd.rule_ports import RuleOrigin
from filterd.testing import a_scan, an_envelope
from filterd.web.paging import page_of
from tests.filterd.test_api import HOLD, ID, SECRETS, UNKNOWN, Api, api

__all__ = ["api"]

OTHER = MessageId(f"{2:032x}")
RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
DENIED = Decision(action=Action.QUARANTINE, reason=Reason.DENIED, detail="casino.example", scan=a_scan(0.4))


async def _another(api: Api, *recipients: str) -> None:
    """A second held message: denied, half as probable, and a day later."""
    envelope = replace(
        an_envelope("eve@casino.example", *(recipients or ("ann@example.com",)), id=OTHER),
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    await api.store.hold(envelope, b"Subject: Jackpot\r\n\r\nSPAM\r\n", DENIED)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sender=CASINO", "2"),
        ("recipient=bob@", "1"),
        ("subject=jackpot", "2"),
        ("query=jackpot", "2"),
        ("since=2026-01-02T00:00:00Z", "2"),
        ("since=2026-01-02T01:00:00%2B01:00", "2"),
        ("until=2026-01-02T00:00:00Z", "1"),
        ("reason=denied", "2"),
        ("reason=denied&reason=spam", "21"),
        ("reason=unscannable", ""),
        ("least=0.9", "1"),
        ("most=0.9", "2"),
        ("channel=sms", ""),
        ("state=held", "21"),
        ("state=deleted", ""),
        (f"before={OTHER}", "1"),
        ("sender=casino&reason=spam", ""),
    ],
)
async def test_held_messages_are_found_by_what_the_page_finds_them_by(api: Api, query: str, expected: str) -> None:
    await _another(api)

    found = (await api.call("GET", f"/quarantine?{query}")).json()

    assert "".join(message["id"][-1] for message in found["messages"]) == expected


async def test_deleted_messages_are_listed_where_asked_for(api: Api) -> None:
    await api.call("DELETE", f"/quarantine/{ID}")

    (message,) = (await api.call("GET", "/quarantine?state=deleted")).json()["messages"]

    assert (message["id"], message["state"]) == (ID, "deleted")


@pytest.mark.parametrize(
    "query",
    [
        "least=1.5",
        "most=nan",
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B14:00",
        "reason=x",
        "limit=201",
    ],
)
@pytest.mark.parametrize("path", ["/quarantine", "/verdicts"])
async def test_query_that_cannot_be_read_is_422(api: Api, path: str, query: str) -> None:
    assert (await api.call("GET", f"{path}?{query}")).status_code == 422


async def test_teach_delivers_and_calls_it_ham(api: Api) -> None:
    response = await api.call("POST", f"/quarantine/{ID}/teach")

    assert response.json() == {"id": ID, "verb": "teach", "rules": [], "labelled": True, "deleted": False}
    assert len(api.relay.sent) == 1
    assert [(f.reporter, f.label.value) for f in api.store.ledger.standing()] == [("quarantine", "ham")]


@pytest.mark.parametrize(("verb", "kind", "sent"), [("allow", "allow", 1), ("block", "deny", 0)])
async def test_administrator_s_token_gives_a_rule_for_everybody(api: Api, verb: str, kind: str, sent: int) -> None:
    await _another(api)

    response = await api.call("POST", f"/quarantine/{OTHER}/{verb}", Scope.ADMIN)

    assert response.json() == {"id": OTHER, "verb": verb, "rules": [1], "labelled": False, "deleted": not sent}
    assert len(api.relay.sent) == sent
    given = (await api.store.rules.find(1)).given
    assert (given.rule.scope, given.rule.kind, given.origin) == ("", kind, RuleOrigin.API)  # type: ignore[union-attr]
    assert (given.by, given.message) == ("admin", OTHER)


@pytest.mark.parametrize("verb", ["allow", "block"])
async def test_token_without_the_scope_rules_gives_none_and_changes_nothing(api: Api, verb: str) -> None:
    await _another(api)

    assert (await api.call("POST", f"/quarantine/{OTHER}/{verb}")).status_code == 403
    assert len(await api.store.rules.list()) == 0
    assert (await api.store.held(OTHER)).summary.state is HeldState.HELD


async def test_token_with_the_scope_rules_gives_them_for_the_recipients(api: Api) -> None:
    await _another(api, "Ann@example.com", "+4930123")
    token = Token(name="both", scopes=(Scope.QUARANTINE, Scope.RULES), created_at=datetime(2026, 1, 1, tzinfo=UTC))
    secret = SECRETS[Scope.ADMIN][:-1] + "_"
    await api.store.add_token(token, digest(secret), "test")

    response = await api.client.post(f"/api/v1/quarantine/{OTHER}/block", headers={"authorization": f"Bearer {secret}"})

    assert response.json()["rules"] == [1, 2]
    assert {row.given.rule.scope for row in await api.store.rules.list()} == {"ann@example.com", "4930123"}
    assert (await api.call("GET", f"/quarantine/{OTHER}")).status_code == 404


async def test_deleted_message_is_put_back_once(api: Api) -> None:
    await api.call("DELETE", f"/quarantine/{ID}")

    answers = [await api.call("POST", f"/quarantine/{ID}/restore") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 409]
    assert (await api.call("GET", f"/quarantine/{ID}")).json()["state"] == "held"


@pytest.mark.parametrize("verb", ["teach", "allow"])
async def test_next_hop_that_does_not_take_it_is_502_with_its_words(api: Api, verb: str) -> None:
    await _another(api)
    api.relay.reply = Reply(code=550, enhanced="5.1.1", lines=("No such user",))

    response = await api.call("POST", f"/quarantine/{OTHER}/{verb}", Scope.ADMIN)

    assert (response.status_code, response.json()["detail"]) == (502, "the next hop said: No such user")
    assert (await api.store.held(OTHER)).summary.state is HeldState.HELD


@pytest.mark.parametrize(
    ("id", "verb", "status"),
    [(UNKNOWN, "teach", 404), (UNKNOWN, "restore", 404), ("x", "block", 404), (ID, "eat", 422), (ID, "spam", 422)],
)
async def test_verb_on_what_is_not_there_is_refused(api: Api, id: str, verb: str, status: int) -> None:
    assert (await api.call("POST", f"/quarantine/{id}/{verb}", Scope.ADMIN)).status_code == status


# Verdicts


async def _verdict(api: Api, n: int, *recipients: str, **decision: Any) -> None:
    ham: dict[str, Any] = {"action": Action.ACCEPT, "reason": Reason.HAM, "scan": a_scan(0.01)}
    made = Decision(**ham | decision)
    envelope = replace(
        an_envelope(f"s{n}@example.org", *(recipients or ("bob@example.net",)), id=f"{n:032x}"),
        received_at=datetime(2026, 1, n, tzinfo=UTC),
    )
    await api.store.record(Verdict.of(envelope, 1, made, RELAYED, {}))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "321"),
        ("query=s2@", "2"),
        ("sender=s3", "3"),
        ("recipient=ann@", "3"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00Z", "2"),
        ("action=accept&action=tag", "32"),
        ("outcome=held", "1"),
        ("reason=allowed", "3"),
        ("channel=sms", ""),
        ("least=0.5", "1"),
        ("most=0.5", "32"),
    ],
)
async def test_verdicts_are_found_by_what_the_page_finds_them_by(api: Api, query: str, expected: str) -> None:
    await _verdict(api, 2)
    await _verdict(api, 3, "ann@example.com", reason=Reason.ALLOWED)

    found = (await api.call("GET", f"/verdicts?{query}")).json()["verdicts"]

    assert "".join(row["id"][-1] for row in found) == expected


async def test_pages_of_verdicts_never_part_a_message(api: Api) -> None:
    for n in range(2, 6):
        await _verdict(api, n, "a@example.net")
        await _verdict(api, n, "b@example.net")

    seen: list[list[str]] = []
    before = ""
    while True:
        page = (await api.call("GET", f"/verdicts?limit=3{before and f'&before={before}'}")).json()
        seen.append([row["id"][-1] for row in page["verdicts"]])
        if page["next"] is None:
            break
        before = page["next"]

    assert [id for page in seen for id in page] == list("554433221")
    assert all(page.count(id) == 2 for page in seen for id in page if id != "1")


def test_message_that_fills_a_page_is_one_of_its_own() -> None:
    row = VerdictRow(
        id=OTHER,
        channel=Channel.EMAIL,
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        sender="",
        recipients=(),
        peer="",
        size_bytes=0,
        action=Action.ACCEPT,
        reason=Reason.HAM,
        detail="",
        outcome="",
        reply_code=250,
        probability=None,
        logit=None,
        threshold=None,
        model="",
        fingerprint="",
        elapsed_seconds=0,
    )

    assert page_of([row] * 5, 2) == ([row] * 5, OTHER)
    assert page_of([row] * 2, 2) == ([row] * 2, None)
    assert page_of([], 2) == ([], None)


async def test_campaigns_are_groups_of_near_copies(api: Api) -> None:
    scan = replace(a_scan(0.97), fingerprint="f" * 64)
    for n in (2, 3):
        envelope = an_envelope(f"s{n}\udcff@example.org", id=f"{n:032x}")
        await api.store.hold(envelope, b"Subject: Jackpot %d\r\n\r\nSPAM\r\n" % n, replace(HOLD, scan=scan))
    await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": OTHER, "label": "spam"})

    (campaign,) = (await api.call("GET", "/campaigns")).json()["campaigns"]

    assert (campaign["count"], campaign["senders"], campaign["sender"]) == (2, 2, "s3?@example.org")
    assert campaign["messages"] == campaign["held"] == [f"{3:032x}", f"{2:032x}"]
    assert (campaign["subject"], campaign["spam_labels"], campaign["ham_labels"]) == ("Jackpot 3", 1, 0)
    assert (await api.call("GET", "/campaigns?days=32")).status_code == 422
