"""A site's calibration changes the probability and leaves the logit; labels move it from there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from filterd.core.bundle import Calibration
from filterd.core.calibration import probability
from filterd.core.envelope import Channel
from filterd.core.verdict import Scan
from filterd.inference.online import SiteWeights
from filterd.inference.site_calibration import SiteCalibrations
from filterd.testing import POINTS

SCAN = Scan(probability=0.5, logit=1.0, model="m1", points=POINTS, calibration=Calibration(scale=1.0, bias=-1.0))
OWN = Calibration(scale=2.0, bias=0.5)


class Moved:
    """A correction of one unit of log-odds."""

    def correct(self, channel: Channel, scan: Scan, recipient: str) -> Scan:
        return replace(scan, correction=1.0, probability=probability(scan.logit + 1.0, scan.calibration))


def test_calibrated_bundle_has_another_probability_and_the_same_logit() -> None:
    site = SiteCalibrations(SiteWeights())
    site.models = {(Channel.EMAIL, "m1"): OWN}

    scan = site.correct(Channel.EMAIL, SCAN, "ann@corp.example")

    assert scan.logit == 1.0
    assert scan.probability == pytest.approx(probability(0.5, Calibration()))


def test_labels_move_what_is_calibrated() -> None:
    site = SiteCalibrations(Moved())
    site.models = {(Channel.EMAIL, "m1"): OWN}

    scan = site.correct(Channel.EMAIL, SCAN, "ann@corp.example")

    assert scan.probability == pytest.approx(probability(2 * 1.0 + 0.5, Calibration()))


@pytest.mark.parametrize(("channel", "model"), [(Channel.SMS, "m1"), (Channel.EMAIL, "m2")])
def test_other_bundles_and_channels_are_left_alone(channel: Channel, model: str) -> None:
    site = SiteCalibrations(SiteWeights())
    site.models = {(channel, model): OWN}

    assert site.correct(Channel.EMAIL, SCAN, "ann@corp.example") is SCAN
