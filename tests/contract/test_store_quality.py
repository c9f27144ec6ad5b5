"""What every store knows about quality, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel
from filterd.core.verdict import Label
from filterd.feedback_ports import Labels
from filterd.quality_ports import SiteCalibration
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
