"""Shows how well the filter does as metrics, once a minute in one worker."""

from __future__ import annotations

import asyncio
import contextlib

from filterd.errors import FilterdError
from filterd.metrics import Metrics
from filterd.quality import EVERY_SECONDS, QualityEstimates


class QualityKeeper:
    """Shows the series of ``Metrics`` that are worked out."""

    def __init__(self, estimates: QualityEstimates, *, metrics: Metrics) -> None:
        self._estimates = estimates
        self._metrics = metrics

    async def watch(self) -> None:
        """Refresh every minute, until cancelled; while the database is away nothing changes."""
        while True:
            # That the database is away is told by the store's keeper.
            with contextlib.suppress(FilterdError, TimeoutError):
                await self.refresh()
            await asyncio.sleep(EVERY_SECONDS)

    async def refresh(self) -> None:
        """Work everything out again. Raises StoreUnavailable."""
        report, metrics = await self._estimates.work_out(), self._metrics
        for channel, found in report.channels.items():
            metrics.show_rates(channel, found.ham_loss, found.spam_catch)
            metrics.label_age.labels(channel.value).set(found.label_age_seconds)
            for state, count in found.audits.items():
                metrics.audit_messages.labels(channel.value, state).set(count)
            if found.model is None:
                continue
            metrics.calibration_error.labels(channel.value).set(found.model.calibration_error)
            metrics.model_age.labels(channel.value).set(found.model.age_seconds)
            for of, value in found.model.drift.items():
                metrics.drift.labels(channel.value, of).set(value)
        metrics.quality_computed.set(report.at.timestamp())
