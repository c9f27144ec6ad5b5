"""A site's calibrations at work: they change what a logit means, and leave the logit as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from filterd.core.bundle import Calibration
from filterd.core.calibration import chained, probability
from filterd.core.envelope import Channel
from filterd.core.verdict import Scan
from filterd.feedback_ports import Correction

Models = Mapping[tuple[Channel, str], Calibration]


class SiteCalibrations:
    """Implements ``feedback_ports.Correction``: the site's calibration first, then what another corrects."""

    def __init__(self, then: Correction) -> None:
        self._then = then
        self.models: Models = MappingProxyType({})
        """(channel, bundle) -> what comes behind the bundle's own calibration."""

    def correct(self, channel: Channel, scan: Scan, recipient: str) -> Scan:
        """``scan`` as this site reads it."""
        return self._then.correct(channel, self._calibrated(channel, scan), recipient)

    def _calibrated(self, channel: Channel, scan: Scan) -> Scan:
        own = self.models.get((channel, scan.model))
        if own is None:
            return scan
        calibration = chained(scan.calibration, own)
        return replace(scan, calibration=calibration, probability=probability(scan.logit, calibration))
