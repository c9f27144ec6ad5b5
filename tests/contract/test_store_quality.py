"""What every store knows about quality, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from filterd.core.access import EVERYBODY
from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel
from filterd.core.verdict import Action, Label, Outcome, OutcomeKind, Reply, Script, Verdict
from filterd.feedback_ports import Labels
from filterd.quality_ports import LabelledVerdict, SiteCalibration, Tally
from filterd.testing import FixedClock, a_scan
from tests.contract.stores import HOLD, Store, envelope, label, nth, sms_envelope, verdict

# Calibrations


def a_calibration(clock: FixedClock, model: str = "m1", bias: float = 0.5) -> SiteCalibration:
    return SiteCalibration(
        channel=Channel.EMAIL,
        model=model,
        calibration=Calibration(scale=1.25, bias=bias),
        labels=21,
        set_at=clock.now(),
        set_by="root",
    )


async def test_calibration_is_kept_per_bundle_replaced_and_dropped(
    store: Store, other: Store, clock: FixedClock
) -> None:
    await store.quality.set_calibration(a_calibration(clock))
    await store.quality.set_calibration(a_calibration(clock, "m2"))
    await store.quality.set_calibration(a_calibration(clock, bias=-0.5))

    assert list(await other.quality.calibrations()) == [a_calibration(clock, bias=-0.5), a_calibration(clock, "m2")]

    assert await other.quality.drop_calibration(Channel.EMAIL, "m1", "root")
    assert not await store.quality.drop_calibration(Channel.EMAIL, "m1", "root")
    assert not await store.quality.drop_calibration(Channel.SMS, "m2", "root")
    assert list(await store.quality.calibrations()) == [a_calibration(clock, "m2")]


async def test_labelled_logits_are_standing_labels_on_messages_of_the_bundle_newest_first(store: Store) -> None:
    judged = replace(HOLD, scan=replace(a_scan(0.97), logit=1.5, model="m1", fingerprint="0" * 64))
    foreign = replace(HOLD, scan=replace(a_scan(0.97), logit=2.5, model="m2"))
    for n, decision in ((1, judged), (2, judged), (3, foreign), (4, judged)):
        await store.record(verdict(envelope(n), decision))
    await store.record(verdict(sms_envelope(5), judged))
    for n in (1, 2, 3, 5):
        await store.add_feedback(label(n))
    await store.add_feedback(label(2, Label.HAM, "bob"))
    await store.add_feedback(label(4))
    await store.revoke(Labels(message=nth(4)), "root")

    found = await store.quality.labelled_logits(Channel.EMAIL, "m1", most=10)

    assert [(f.message, f.label, f.logit) for f in found] == [
        (nth(2), Label.HAM, 1.5),
        (nth(2), Label.SPAM, 1.5),
        (nth(1), Label.SPAM, 1.5),
    ]
    assert found[0].fingerprint == "0" * 64
    assert len(await store.quality.labelled_logits(Channel.EMAIL, "m1", most=2)) == 2


async def test_message_with_several_verdicts_is_labelled_once(store: Store) -> None:
    for recipient in ("ann@example.net", "bob@example.net"):
        await store.record(verdict(envelope(1, "alice@example.org", recipient)))
    await store.add_feedback(label(1))

    assert len(await store.quality.labelled_logits(Channel.EMAIL, "test-model", most=10)) == 1


async def test_spam_share_is_the_mean_probability_of_the_latest_messages(store: Store) -> None:
    assert await store.quality.spam_share(Channel.EMAIL, "test-model", most=10) is None

    for n, p in enumerate((1.0, 0.5, 0.25), 1):
        await store.record(verdict(envelope(n), replace(HOLD, scan=a_scan(p))))

    assert await store.quality.spam_share(Channel.EMAIL, "test-model", most=2) == pytest.approx(0.375)
    assert await store.quality.spam_share(Channel.EMAIL, "other", most=2) is None


# Tallies


def judged(n: int, clock: FixedClock, probability: float = 0.97, **fields: Any) -> Verdict:
    """A verdict on a message of now; ``fields`` are of its scan."""
    scan = replace(a_scan(probability), **fields)
    return replace(verdict(envelope(n), replace(HOLD, scan=scan)), received_at=clock.now())


async def test_tally_counts_alike_verdicts_of_a_time(store: Store, clock: FixedClock) -> None:
    start = clock.now()
    changes: tuple[dict[str, Any], ...] = (
        {},
        {},
        {"script": Script.CJK},
        {"probability": 0.02},
        {"model": "m2"},
    )
    for n, fields in enumerate(changes, 1):
        await store.record(judged(n, clock, **fields))
        clock.advance(60)
    unscored = replace(HOLD, action=Action.ACCEPT, scan=None)
    await store.record(replace(verdict(sms_envelope(6), unscored), received_at=clock.now()))

    async def counted(minutes: int, most: int = 100) -> set[Tally]:
        return set(await store.quality.tally(start, start + timedelta(minutes=minutes), most=most))

    held = Tally(channel=Channel.EMAIL, model="test-model", action=Action.QUARANTINE, script="latin", score=7, count=2)
    assert await counted(2) == {held}
    assert await counted(5) == {
        held,
        replace(held, script="cjk", count=1),
        replace(held, score=2, count=1),
        replace(held, model="m2", count=1),
    }
    assert await counted(5, most=1) == {replace(held, count=1)}
    nothing = Tally(channel=Channel.SMS, model="", action=Action.ACCEPT, script="", score=-1, count=1)
    assert nothing in await counted(6)


async def test_model_at_is_the_first_to_judge_from_a_moment_on(store: Store, clock: FixedClock) -> None:
    start = clock.now()
    for n, model in enumerate(("m1", "m2"), 1):
        await store.record(judged(n, clock, model=model))
        clock.advance(60)

    assert await store.quality.model_at(Channel.EMAIL, start) == ("m1", start)
    second = start + timedelta(seconds=60)
    assert await store.quality.model_at(Channel.EMAIL, start + timedelta(seconds=1)) == ("m2", second)
    assert await store.quality.model_at(Channel.EMAIL, clock.now()) is None
    assert await store.quality.model_at(Channel.SMS, start) is None


async def test_labelled_verdicts_have_the_latest_label_and_the_audit_mark(
    store: Store, other: Store, clock: FixedClock
) -> None:
    await store.record(judged(1, clock), replace(judged(2, clock), is_audit=True), judged(3, clock))
    await store.add_feedback(label(1, Label.SPAM))
    await store.add_feedback(label(1, Label.HAM, "bob"))
    await store.add_feedback(label(2))
    await store.add_feedback(label(3))
    await store.revoke(Labels(message=nth(3)), "root")

    found = await other.quality.labelled_since(clock.now(), most=10)

    first = LabelledVerdict(
        message=nth(2),
        channel=Channel.EMAIL,
        received_at=clock.now(),
        model="test-model",
        action=Action.QUARANTINE,
        probability=0.97,
        label=Label.SPAM,
        is_audit=True,
    )
    assert list(found) == [first, replace(first, message=nth(1), label=Label.HAM, is_audit=False)]
    assert not await store.quality.labelled_since(clock.now() + timedelta(seconds=1), most=10)


async def test_audit_waits_until_it_is_labelled(store: Store, clock: FixedClock) -> None:
    await store.record(*(replace(judged(n, clock), is_audit=n < 3) for n in (1, 2, 3)))
    assert await store.quality.audits_waiting(clock.now()) == {Channel.EMAIL: 2}

    await store.add_feedback(label(1))

    assert await store.quality.audits_waiting(clock.now()) == {Channel.EMAIL: 1}
    assert await store.quality.audits_waiting(clock.now() + timedelta(seconds=1)) == {}


async def test_newest_label_is_the_latest_that_stands(store: Store, clock: FixedClock) -> None:
    assert await store.quality.newest_labels() == {}

    await store.record(judged(1, clock), judged(2, clock))
    for n in (1, 2):
        await store.add_feedback(replace(label(n), given_at=clock.now() + timedelta(seconds=n)))
    await store.revoke(Labels(message=nth(2)), "root")

    assert await store.quality.newest_labels() == {Channel.EMAIL: clock.now() + timedelta(seconds=1)}


# Questions


async def test_unlabelled_are_the_latest_that_reached_somebody_and_the_audit(store: Store, clock: FixedClock) -> None:
    refused = Outcome(kind=OutcomeKind.REFUSED, reply=Reply(code=550))
    await store.record(judged(9, clock))
    clock.advance(60)
    start = clock.now()
    for n in (1, 2, 3, 4, 5):
        made = judged(n, clock, fingerprint=f"{n:064x}")
        await store.record(replace(made, is_audit=n == 1, outcome=refused if n == 4 else made.outcome))
        clock.advance(60)
    await store.add_feedback(label(3))

    found = await store.quality.unlabelled(start, most=1)
    everything = await store.quality.unlabelled(start, most=10)

    assert [row.message for row in found.candidates] == [nth(5), nth(1)]
    assert [row.message for row in everything.candidates] == [nth(5), nth(2), nth(1)]
    assert [row.is_audit for row in everything.candidates] == [False, False, True]
    assert list(found.known) == [f"{3:064x}"]


async def test_messages_brought_to_be_learned_from_count_neither_as_traffic_nor_for_quality(
    store: Store, clock: FixedClock
) -> None:
    """A folder of old spam that is learned says nothing about the mail that comes; what was asked about does."""
    start, end = clock.now(), clock.now() + timedelta(seconds=1)
    told = judged(1, clock)
    for n, kind in ((1, OutcomeKind.ADVISED), (2, OutcomeKind.TAUGHT)):
        await store.record(replace(judged(n, clock), outcome=replace(told.outcome, kind=kind)))
    waiting = [row.message for row in (await store.quality.unlabelled(start, most=10)).candidates]
    for n in (1, 2):
        await store.add_feedback(label(n))

    assert waiting == [nth(1)]
    assert [row.message for row in await store.quality.labelled_since(start, most=10)] == [nth(1)]
    assert [tally.count for tally in await store.quality.tally(start, end, most=10)] == [1]
    assert sum(hour.count for hour in await store.review.traffic(EVERYBODY, start, end)) == 1
