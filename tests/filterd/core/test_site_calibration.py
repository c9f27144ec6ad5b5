"""What a few dozen labels change about a bundle's number, and when they may not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from filterd.core.bundle import Calibration
from filterd.core.calibration import chained, probability
from filterd.core.envelope import MessageId
from filterd.core.site_calibration import BIASES, SCALES, LabelledLogit, fit_site
from filterd.core.verdict import Label
from filterd.errors import UsageError

AS_IT_IS = Calibration()


def a_label(n: int, logit: float, label: Label, fingerprint: str = "") -> LabelledLogit:
    return LabelledLogit(message=MessageId(f"{n:032x}"), label=label, logit=logit, fingerprint=fingerprint)


def drawn(count: int, truth: Calibration, seed: int = 1) -> list[LabelledLogit]:
    """Labels drawn from what ``truth`` makes of logits between -4 and 4."""
    draw = random.Random(seed)
    logits = [draw.uniform(-4, 4) for _ in range(count)]
    return [
        a_label(n, logit, Label.SPAM if draw.random() < probability(logit, truth) else Label.HAM)
        for n, logit in enumerate(logits)
    ]


def share(labels: list[LabelledLogit]) -> float:
    return sum(label.label is Label.SPAM for label in labels) / len(labels)


def test_shifted_site_when_fifty_labels_say_so_is_fitted_and_better() -> None:
    labels = drawn(50, Calibration(scale=1.0, bias=-2.0))

    fit = fit_site(labels, AS_IT_IS, share(labels))

    assert -2.0 <= fit.calibration.bias < -0.8
    assert fit.is_better
    assert fit.after.log_loss < fit.before.log_loss
    assert (fit.labels, fit.spam) == (50, sum(label.label is Label.SPAM for label in labels))


def test_overconfident_bundle_is_stretched_toward_the_truth() -> None:
    labels = [replace(label, logit=3 * label.logit) for label in drawn(200, AS_IT_IS)]

    fit = fit_site(labels, AS_IT_IS, share(labels))

    assert fit.calibration.scale == pytest.approx(1 / 3, abs=0.12)
    assert fit.after.ece < fit.before.ece


def test_well_calibrated_bundle_when_fitted_is_not_called_better() -> None:
    better = [
        fit_site(labels, AS_IT_IS, share(labels)).is_better for labels in (drawn(30, AS_IT_IS, s) for s in range(20))
    ]

    assert sum(better) <= 5


def test_one_sided_reports_do_not_move_a_calibrated_bundle_far() -> None:
    """Four of five labels are on spam, of which the site has half: their share is not taken for the site's."""
    labels = drawn(400, AS_IT_IS)
    spam = [label for label in labels if label.label is Label.SPAM]
    ham = [label for label in labels if label.label is Label.HAM][: len(spam) // 4]

    assert abs(fit_site(spam + ham, AS_IT_IS, 0.5).calibration.bias) < 0.5
    assert fit_site(spam + ham, AS_IT_IS, 0.8).calibration.bias > 0.8


def test_bundle_s_own_calibration_comes_first() -> None:
    own = Calibration(scale=2.0, bias=1.0)
    labels = drawn(60, Calibration(scale=1.0, bias=-1.5))
    raw = [replace(label, logit=(label.logit - own.bias) / own.scale) for label in labels]

    assert fit_site(raw, own, 0.4).calibration.bias == pytest.approx(fit_site(labels, AS_IT_IS, 0.4).calibration.bias)


def test_separable_labels_stay_within_the_bounds() -> None:
    labels = [a_label(n, 0.01 if n % 2 else -0.01, Label.SPAM if n % 2 else Label.HAM) for n in range(400)]
    shifted = [replace(label, logit=label.logit - 9.0) for label in labels]

    for chosen in (labels, shifted):
        calibration = fit_site(chosen, AS_IT_IS, 0.5).calibration
        assert SCALES[0] <= calibration.scale <= SCALES[1]
        assert BIASES[0] <= calibration.bias <= BIASES[1]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (drawn(12, AS_IT_IS), "8 labels are missing: 12 of 20"),
        ([a_label(n, 2.0, Label.SPAM) for n in range(25)], "3 labels ham are missing"),
        ([a_label(n, -2.0, Label.SPAM if n else Label.HAM) for n in range(25)], "2 labels ham are missing"),
        ([a_label(n, 2.0 if n % 2 else -2.0, Label.HAM if n % 2 else Label.SPAM) for n in range(30)], "30 of 30"),
        ([a_label(n, 2.0, Label.SPAM, "0" * 64) for n in range(30)], "19 labels are missing: 1 of 20"),
        ([a_label(n // 2, 1.0, Label.SPAM if n % 2 else Label.HAM) for n in range(60)], "20 labels are missing: 0"),
    ],
    ids=["few", "one label", "nearly one label", "only mistakes", "near copies", "two opinions"],
)
def test_labels_that_cannot_be_fitted_are_refused_with_what_is_missing(labels: list[LabelledLogit], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fit_site(labels, AS_IT_IS, 0.5)


def test_chained_calibrations_do_what_both_do() -> None:
    first, then = Calibration(scale=2.0, bias=1.0), Calibration(scale=0.5, bias=-1.0)

    assert chained(first, then) == Calibration(scale=1.0, bias=-0.5)
    assert chained(first, Calibration()) == first
