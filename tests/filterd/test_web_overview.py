"""The overview shows everybody what is theirs, and stays up when a part of it is away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from filterd.account_ports import Scope, Token
from filterd.clock import mint_id
from filterd.core.access import Role
from filterd.core.envelope import Channel, MessageId
from filterd.core.secret_digest import digest
from filterd.core.verdict import (
    Action,
    Decision,
    Evidence,
    Feedback,
    Label,
    Outcome,
    OutcomeKind,
    Reason,
    Reply,
    Verdict,
)
from filterd.errors import StoreUnavailable
from filterd.quality import QualityEstimates
from filterd.testing import a_scan, an_envelope
from filterd.web.auth import new_secret
from filterd.web.parts import WebParts
from tests.filterd.web_visitor import House, Visitor, a_house

STAFF = {Role.ADMINISTRATOR, Role.MODERATOR, Role.AUDITOR}
MODEL = "email-20251201T000000-0123abcd"
BOB, EVE, NET = "bob@example.net", "eve@example.org", "example.net"


def with_a_model(parts: WebParts) -> WebParts:
    estimates = QualityEstimates(
        parts.figures.questions,  # type: ignore[arg-type]  # it is the whole of MemoryQuality
        models=lambda: {Channel.EMAIL: MODEL},
        clock=parts.clock,
    )
    return replace(parts, figures=replace(parts.figures, estimates=estimates))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house(configure=with_a_model)
    yield house
    await house.close()


async def judge(
    house: House,
    *recipients: str,
    action: Action = Action.ACCEPT,
    ago: timedelta = timedelta(),
    is_audit: bool = False,
    words: tuple[Evidence, ...] = (),
) -> MessageId:
    scan = replace(a_scan(0.5), model=MODEL, evidence=words, fingerprint="")
    decision = Decision(action=action, reason=Reason.SPAM, threshold=0.6, scan=scan)
    message = replace(
        an_envelope("mallory@spam.example", *recipients, id=mint_id(house.clock)),
        received_at=house.clock.now() - ago,
    )
    outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
    await house.store.record(replace(Verdict.of(message, 1, decision, outcome, {}), is_audit=is_audit))
    return message.id


def figures(page: str) -> list[str]:
    """The large numbers: in quarantine, 24 hours, 7 days."""
    return [re.sub(r"<[^>]+>", "", found) for found in re.findall(r"<div><dt>[^<]*</dt><dd>(.*?)</dd></div>", page)]


@pytest.mark.parametrize(
    ("role", "more", "expected"),
    [
        (Role.ADMINISTRATOR, {}, ["0", "3", "4"]),
        (Role.AUDITOR, {}, ["0", "3", "4"]),
        (Role.MODERATOR, {"domains": (NET,)}, ["0", "2", "3"]),
        (Role.MODERATOR, {"domains": ("net",)}, ["0", "0", "0"]),
        (Role.USER, {"addresses": (BOB,)}, ["0", "2", "3"]),
        (Role.USER, {"addresses": (EVE,)}, ["0", "2", "2"]),
        (Role.USER, {"domains": (NET,)}, ["0", "0", "0"]),
    ],
)
async def test_figures_are_of_mail_within_reach(
    house: House, role: Role, more: dict[str, Any], expected: list[str]
) -> None:
    await judge(house, BOB)
    await judge(house, EVE, action=Action.REJECT)
    await judge(house, BOB, EVE)
    await judge(house, BOB, ago=timedelta(hours=30))
    visitor = await house.person(role, **more)

    page = (await visitor.get("/")).text

    assert figures(page) == expected


async def test_quarantine_counts_what_is_within_reach(house: House) -> None:
    hold = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
    for raw, recipient in ((b"1", BOB), (b"2", BOB), (b"3", EVE)):
        await house.store.hold(an_envelope("m@spam.example", recipient, id=mint_id(house.clock)), raw, hold)

    visits: tuple[tuple[Role, dict[str, Any], str], ...] = (
        (Role.ADMINISTRATOR, {}, "3"),
        (Role.USER, {"addresses": (BOB,)}, "2"),
        (Role.USER, {"addresses": ("cat@example.net",)}, "0"),
    )
    for role, more, held in visits:
        visitor = await house.person(role, f"{held}@example.org", **more)
        assert figures((await visitor.get("/")).text)[0] == held


@pytest.mark.parametrize("role", Role)
async def test_how_well_the_filter_does_is_for_the_staff(house: House, role: Role) -> None:
    await judge(house, BOB)
    visitor = await house.person(role)

    page = (await visitor.get("/")).text

    for title in ('id="quality"', 'id="health"'):
        assert (title in page) == (role in STAFF)
    assert (MODEL in page) is False, "no worker serves it"


async def test_estimates_have_bounds_and_what_is_not_known_is_said(house: House) -> None:
    for n in range(100):
        is_audit = n < 20
        action = Action.QUARANTINE if n % 2 else Action.ACCEPT
        id = await judge(house, BOB, action=action, is_audit=is_audit)
        if is_audit:
            label = Label.SPAM if n % 2 and n != 19 else Label.HAM
            given = Feedback(message_id=id, label=label, reporter="ann", given_at=house.clock.now())
            await house.store.add_feedback(given)
    house.clock.advance(60)
    visitor = await house.person(Role.AUDITOR)

    page = (await visitor.get("/")).text

    loss = re.search(r"Wanted messages lost</dt><dd>(\d+\.\d+) % \((\d+\.\d+)-(\d+\.\d+) %\)", page)
    assert loss is not None
    assert float(loss[1]) == pytest.approx(100 / 11, abs=0.01)
    assert float(loss[2]) < float(loss[1]) < float(loss[3])
    assert "11 wanted, 9 spam, 0 waiting for a label" in page
    assert page.count("not known yet") >= 3, "drift, and everything about SMS"


async def test_estimate_that_may_be_anything_is_not_known(house: House) -> None:
    await judge(house, BOB)
    await judge(house, BOB, action=Action.QUARANTINE)
    visitor = await house.person(Role.AUDITOR)

    page = (await visitor.get("/")).text

    assert "100.00 %" not in page
    assert "Spam caught</dt><dd>not known yet" in page


async def questions_of(visitor: Visitor) -> int:
    return (await visitor.get("/")).text.count('action="/history"')


@pytest.mark.parametrize(
    ("role", "more", "count"),
    [
        (Role.ADMINISTRATOR, {}, 2),
        (Role.MODERATOR, {"domains": (NET,)}, 1),
        (Role.AUDITOR, {}, 0),
        (Role.USER, {"addresses": (BOB,)}, 0),
    ],
)
async def test_questions_are_for_whoever_may_label_the_message(
    house: House, role: Role, more: dict[str, Any], count: int
) -> None:
    await judge(house, BOB, words=(Evidence(token="agenda", weight=1.0),))
    await judge(house, EVE)
    visitor = await house.person(role, **more)

    assert await questions_of(visitor) == count
    assert ("agenda" in (await visitor.get("/")).text) == (count > 0)


async def test_d7_what_a_stranger_wrote_is_text(house: House) -> None:
    hostile = "\u202e<script>alert(1)</script>"
    id = await judge(house, BOB, words=(Evidence(token=hostile, weight=1.0),))
    row = house.store._verdicts[id, (BOB,)]
    house.store._verdicts[id, (BOB,)] = replace(row, sender=f'{hostile}"@spam.example')
    ann = await house.person(Role.ADMINISTRATOR)

    page = (await ann.get("/")).text

    assert page.count("&lt;script&gt;alert(1)") == 2
    assert "<script>" not in page
    assert "\u202e" not in page


async def test_answer_is_a_label_and_the_question_is_gone(house: House) -> None:
    id = await judge(house, BOB)
    ann = await house.person(Role.ADMINISTRATOR, "ann@example.org")

    answer = await ann.post("/history", {"id": id, "do": "spam", "back": "/"}, at="/")

    assert answer.headers["location"].startswith("/?said=spam")
    (given,) = house.store.ledger.standing()
    assert (given.message_id, given.label, given.reporter) == (id, Label.SPAM, "ann@example.org")
    assert await questions_of(ann) == 0


async def test_each_part_that_is_away_is_said_and_hides_no_other(house: House) -> None:
    await judge(house, BOB)
    ann = await house.person(Role.ADMINISTRATOR)

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("postgresql://secret@host")

    house.store.review.traffic = away  # type: ignore[method-assign]  # one query that takes too long
    without_traffic = await ann.get("/")
    house.store.quality.tally = away  # type: ignore[method-assign]
    house.store.quality.unlabelled = away  # type: ignore[method-assign]
    house.clock.advance(61)
    without_both = await ann.get("/")

    assert without_traffic.status_code == without_both.status_code == 200
    assert without_traffic.text.count("does not answer just now") == 1
    assert without_both.text.count("does not answer just now") == 2
    assert "secret" not in without_both.text
    assert 'id="health"' in without_both.text


async def test_page_loads_nothing_and_says_all_figures_as_a_table(house: House) -> None:
    await judge(house, BOB, action=Action.QUARANTINE)
    ann = await house.person(Role.ADMINISTRATOR)

    page = (await ann.get("/")).text

    assert page.count('<svg class="chart plot"') == 2
    assert page.count("The same as a table") == 2
    assert " style=" not in page
    assert re.search(r'<rect class="quarantine" x="[\d.]+" y="8" ', page), "the only message fills the last bar"


async def test_stats_are_the_same_figures_for_programs(house: House) -> None:
    await judge(house, BOB)
    secret = new_secret()
    token = Token(name="grafana", scopes=(Scope.QUARANTINE,), created_at=house.clock.now())
    await house.store.add_token(token, digest(secret), "test")

    answer = await house.stranger().get("/api/v1/stats", headers={"authorization": f"Bearer {secret}"})

    stats = answer.json()
    assert [(hour["channel"], hour["action"], hour["count"]) for hour in stats["hours"]] == [("email", "accept", 1)]
    assert stats["held"] == 0
    assert stats["health"] == {"scanners": True, "store": True}
    assert stats["quality"]["email"]["ham_loss"]["high"] == 1.0
    assert stats["quality"]["sms"]["ham_loss"]["estimate"] is None
    assert stats["quality"]["email"]["model"]["id"] == MODEL


@pytest.mark.parametrize(("scope", "status"), [(None, 401), (Scope.FEEDBACK, 403), (Scope.RULES, 403)])
async def test_stats_are_for_the_scope_quarantine(house: House, scope: Scope | None, status: int) -> None:
    headers = {}
    if scope:
        secret = new_secret()
        token = Token(name="x", scopes=(scope,), created_at=house.clock.now())
        await house.store.add_token(token, digest(secret), "test")
        headers = {"authorization": f"Bearer {secret}"}

    answer = await house.stranger().get("/api/v1/stats", headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
