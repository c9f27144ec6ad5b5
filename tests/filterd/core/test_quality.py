"""Estimates of ham loss, spam catch, calibration and drift."""

from __future__ import annotations

import math
import random

import pytest

from filterd.clock import SystemClock, mint_id
from filterd.core.envelope import MessageId
from filterd.core.quality import Stratum, calibration_error, drift, ham_loss, is_audited, spam_catch
from filterd.core.script import script_of
from filterd.core.verdict import Script


def a_stratum(total: float, labelled: int = 0, wrong: int = 0, reported: int = 0) -> Stratum:
    return Stratum(total=total, labelled=labelled, wrong=wrong, reported=reported)


def test_audit_takes_its_share_of_the_ids_that_are_minted() -> None:
    ids = [mint_id(SystemClock()) for _ in range(5_000)]

    assert 0.17 < sum(is_audited(id, 0.2) for id in ids) / len(ids) < 0.23
    assert not any(is_audited(id, 0.0) for id in ids)
    assert all(is_audited(id, 1.0) for id in ids)
    assert is_audited(MessageId("0" * 32), 0.002)


def test_rates_from_an_audit_are_the_true_ones_within_their_bounds() -> None:
    """200 of 1,000 held are ham, 900 of 9,000 accepted are spam: 2.4 % of the ham lost, 47 % of the spam caught."""
    held, accepted = a_stratum(1_000, 100, 20), a_stratum(9_000, 900, 90)

    lost, caught = ham_loss(held, accepted), spam_catch(held, accepted)

    assert lost.estimate == pytest.approx(200 / 8_300)
    assert caught.estimate == pytest.approx(800 / 1_700)
    assert lost.low < lost.estimate < lost.high
    assert 0.35 < caught.low < caught.estimate < caught.high < 0.6


def test_bounds_hold_the_truth_in_nearly_every_drawn_audit() -> None:
    draw, hits = random.Random(1), 0
    for _ in range(200):
        wrong_held = sum(draw.random() < 0.05 for _ in range(40))
        wrong_accepted = sum(draw.random() < 0.02 for _ in range(160))
        lost = ham_loss(a_stratum(2_000, 40, wrong_held), a_stratum(8_000, 160, wrong_accepted))
        hits += lost.low <= 100 / (100 + 7_840) <= lost.high

    assert hits >= 190


def test_reports_alone_say_at_least_so_much_and_nothing_about_the_most() -> None:
    lost = ham_loss(a_stratum(1_000, reported=10), a_stratum(9_000))
    caught = spam_catch(a_stratum(1_000), a_stratum(9_000, reported=90))

    assert lost.low == pytest.approx(10 / 9_010)
    assert lost.high == 1.0
    assert caught.high == pytest.approx(1_000 / 1_090)
    assert caught.low == 0.0


def test_rates_of_no_messages_are_unknown() -> None:
    lost = ham_loss(a_stratum(0), a_stratum(0))

    assert (lost.low, lost.high) == (0.0, 1.0)
    assert math.isnan(lost.estimate)
    assert ham_loss(a_stratum(0), a_stratum(10, 5, 0)).estimate == 0.0


def test_calibration_error_is_how_far_probabilities_are_from_shares() -> None:
    honest = [(0.25, n % 4 == 0) for n in range(40)]
    boastful = [(0.95, n % 2 == 0) for n in range(40)]

    assert calibration_error(honest) == pytest.approx(0.0)
    assert calibration_error(boastful) == pytest.approx(0.45)
    assert math.isnan(calibration_error(honest[:19]))


def test_drift_is_small_for_the_same_and_large_for_another_mixture() -> None:
    week = {"latin": 900.0, "cyrillic": 100.0}

    assert drift(week, {"latin": 270.0, "cyrillic": 30.0}) < 0.01
    assert drift(week, {"latin": 150.0, "cyrillic": 150.0}) > 0.25
    assert drift(week, {"latin": 180.0, "cjk": 120.0}) > 0.25
    assert math.isnan(drift(week, {"latin": 199.0}))
    assert math.isnan(drift({}, {}))


@pytest.mark.parametrize(
    ("side", "script"),
    [
        ({"text_cyrillic": 0.7, "text_other": 0.75}, Script.CYRILLIC),
        ({"text_cjk": 0.15, "text_other": 0.2}, Script.CJK),
        ({"text_other": 0.6}, Script.OTHER),
        ({"text_other": 0.05}, Script.LATIN),
        ({}, Script.LATIN),
    ],
)
def test_script_is_what_most_of_the_text_is_in(side: dict[str, float], script: Script) -> None:
    assert script_of(list(side), list(side.values())) is script
