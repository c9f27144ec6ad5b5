"""Keeps one worker's calibrations as the store has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel
from filterd.metrics import Metrics
from filterd.quality_ports import Calibrations


class KeptCalibrations(Protocol):
    """What applies calibrations."""

    models: Mapping[tuple[Channel, str], Calibration]


class CalibrationKeeper:
    """Implements ``report_keeper.Polled``: a row per bundle at most, so all are read each time."""

    def __init__(
        self,
        kept: KeptCalibrations,
        books: Calibrations,
        *,
        models: Callable[[], Mapping[Channel, str]],
        metrics: Metrics,
    ) -> None:
        """``models`` are the bundles in service."""
        self._kept = kept
        self._books = books
        self._models = models
        self._metrics = metrics

    async def refresh(self) -> None:
        """Apply what the store has. Raises StoreUnavailable."""
        found = {(site.channel, site.model): site.calibration for site in await self._books.calibrations()}
        self._kept.models = MappingProxyType(found)
        for channel, model in self._models().items():
            self._metrics.site_calibrated.labels(channel.value).set(int((channel, model) in found))
