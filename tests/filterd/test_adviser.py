"""What clients that only ask are told, what is recorded of it, and what people teach through them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from filterd.adviser import Asked, content_id
from filterd.core.envelope import Peer, is_message_id
from filterd.core.policy import Policy, Rule, Scope
from filterd.core.verdict import Action, Label, Reason
from filterd.errors import MessageTooLarge, Overloaded, ScanDown, StoreUnavailable, Unscannable
from tests.filterd.advised import HAM, MOST_BYTES, SPAM, World

ANN, BOB = "ann@example.net", "bob@example.net"
PEER = Peer(protocol="SPAMC")
ASKED = Asked(raw=SPAM, sender="eve@example.com", recipients=(BOB,), peer=PEER)
NEAR, FAR = "0" * 64, "f" * 64


async def test_advice_is_recorded_with_its_id_and_nothing_is_held() -> None:
    """The verdict says that the client decides, and no body is kept."""
    world = World()

    advice = await world.adviser.advise(ASKED)

    (row,) = await world.store.verdicts(advice.id)
    assert (row.action, row.outcome, row.recipients, row.sender) == (
        Action.QUARANTINE,
        "advised",
        (BOB,),
        "eve@example.com",
    )
    assert (row.is_audit, await world.store.list_held()) == (True, ())
    assert world.metric("filterd_outcomes_total", channel="email", outcome="advised") == 1


async def test_advice_when_recipients_differ_is_the_mildest_and_both_are_recorded() -> None:
    """Each recipient's rule is applied and recorded; the client hears what loses nobody's ham."""
    mild = Scope(rule=Rule(quarantine_at=None))
    world = World(policy=Policy(overrides={ANN: mild}))

    advice = await world.adviser.advise(replace(ASKED, recipients=(BOB, ANN)))

    assert advice.decision.action is Action.TAG
    assert {row.action for row in await world.store.verdicts(advice.id)} == {Action.TAG, Action.QUARANTINE}


@pytest.mark.invariant("I9")
@pytest.mark.parametrize(
    ("failure", "settings", "error"),
    [
        (ScanDown(), {}, Overloaded),
        (Overloaded(), {}, Overloaded),
        (ScanDown(), {"scan_down": "accept"}, ScanDown),
        (ScanDown(), {"scan_down": "quarantine"}, ScanDown),
        (Unscannable(), {}, None),
    ],
    ids=["ladder-defers", "overloaded", "accept", "quarantine", "unscannable"],
)
async def test_advice_when_nothing_was_scored_is_none(
    failure: Exception, settings: dict[str, Any], error: type[Exception] | None
) -> None:
    """Whatever the policy does with mail of ours, nobody else is told that unscored mail is ham."""
    world = World()
    world.scanner.failure = failure
    world.pipeline.settings = replace(world.pipeline.settings, **settings)

    if error is None:
        advice = await world.adviser.advise(ASKED)
        assert (advice.is_spam, advice.decision.reason) == (True, Reason.UNSCANNABLE)
        return
    with pytest.raises(error):
        await world.adviser.advise(ASKED)
    (row,) = await world.store.recent()
    assert row.outcome == "deferred"


async def test_advice_when_the_database_is_away_is_given_all_the_same() -> None:
    """The books come second: the client hears what was found."""
    world = World()
    world.store.failure = StoreUnavailable()

    assert (await world.adviser.advise(ASKED)).is_spam
    assert world.metric("filterd_record_failures_total") == 1


async def test_message_when_it_is_too_large_is_not_judged() -> None:
    """The same limit as for mail by SMTP."""
    world = World()

    with pytest.raises(MessageTooLarge):
        await world.adviser.advise(replace(ASKED, raw=bytes(MOST_BYTES + 1)))
    assert world.scanner.seen == []


async def test_label_on_a_message_never_seen_is_written_down_once_per_reporter() -> None:
    """It is kept under an id of its content, so that saying it twice is saying it once."""
    world = World()

    first = await world.adviser.teach(ASKED, Label.SPAM, ANN)
    again = await world.adviser.teach(ASKED, Label.SPAM, ANN.upper())
    other = await world.adviser.teach(ASKED, Label.SPAM, BOB)

    id = content_id(SPAM)
    assert (first, again, other) == (True, False, True)
    assert world.standing() == [(id, Label.SPAM, ANN, "spamd"), (id, Label.SPAM, BOB, "spamd")]
    assert {(row.outcome, row.is_audit) for row in await world.store.verdicts(id)} == {("taught", False)}


async def test_label_when_it_is_turned_round_replaces_the_first() -> None:
    """The later of two opposite labels counts."""
    world = World()

    await world.adviser.teach(ASKED, Label.SPAM, ANN)
    await world.adviser.teach(ASKED, Label.HAM, ANN)

    assert world.standing() == [(content_id(SPAM), Label.HAM, ANN, "spamd")]


async def test_label_on_a_message_with_our_id_is_on_that_verdict() -> None:
    """What was asked about and now comes back with our line in it is the same message."""
    world = World()
    world.scanner.fingerprint = NEAR
    advice = await world.adviser.advise(ASKED)
    delivered = f"X-Filterd-Id: {advice.id}\r\n".encode() + SPAM

    await world.adviser.teach(replace(ASKED, raw=delivered), Label.HAM, ANN)

    assert world.standing() == [(advice.id, Label.HAM, ANN, "spamd")]


async def test_c2_label_on_a_message_with_somebody_elses_id_is_on_its_own_text() -> None:
    """A spammer who writes the id of a wanted message into spam has that spam reported, not the wanted message."""
    world = World()
    world.scanner.fingerprint = NEAR
    wanted = await world.adviser.advise(replace(ASKED, raw=HAM))
    forged = f"X-Filterd-Id: {wanted.id}\r\n".encode() + SPAM
    world.scanner.fingerprint = FAR

    await world.adviser.teach(replace(ASKED, raw=forged), Label.SPAM, ANN)

    assert world.standing() == [(content_id(forged), Label.SPAM, ANN, "spamd")]


async def test_label_when_it_is_forgotten_is_revoked_for_who_said_it() -> None:
    """Only the reporter's own label goes."""
    world = World()
    for reporter in (ANN, BOB):
        await world.adviser.teach(ASKED, Label.SPAM, reporter)

    assert await world.adviser.forget(ASKED, ANN)
    assert not await world.adviser.forget(ASKED, ANN)
    assert world.standing() == [(content_id(SPAM), Label.SPAM, BOB, "spamd")]


@pytest.mark.parametrize("failure", [ScanDown(), Unscannable()], ids=["down", "unscannable"])
async def test_label_when_nothing_can_be_scored_is_not_taken(failure: Exception) -> None:
    """The client hears that it was not written down."""
    world = World()
    world.scanner.failure = failure

    with pytest.raises((ScanDown, Unscannable)):
        await world.adviser.teach(ASKED, Label.SPAM, ANN)
    assert world.standing() == []


def test_content_id_is_a_message_id_that_sorts_before_all_others() -> None:
    """Ids sort by time; what has none comes first."""
    assert is_message_id(content_id(SPAM))
    assert content_id(SPAM) < "000000000001"
    assert content_id(SPAM) != content_id(HAM)
