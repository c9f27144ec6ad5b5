"""What is known about how well the filter does, and what a site changes of it: what the store keeps for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel
from filterd.core.site_calibration import LabelledLogit


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCalibration:
    """A calibration of this site, behind the one that a bundle brings."""

    channel: Channel
    model: str
    """The only bundle it holds for."""
    calibration: Calibration
    labels: int
    """How many it was fitted to."""
    set_at: datetime
    set_by: str


class Calibrations(Protocol):
    """The calibrations of this site, one per bundle at most."""

    async def calibrations(self) -> Sequence[SiteCalibration]:
        """All of them. Raises StoreUnavailable."""
        ...

    async def set_calibration(self, new: SiteCalibration) -> None:
        """Put it in the place of the one before, audited. Raises StoreUnavailable."""
        ...

    async def drop_calibration(self, channel: Channel, model: str, by: str) -> bool:
        """Whether there was one; audited. Raises StoreUnavailable."""
        ...

    async def labelled_logits(self, channel: Channel, model: str, *, most: int) -> Sequence[LabelledLogit]:
        """Standing labels on messages that this bundle judged, the newest first. Raises StoreUnavailable."""
        ...

    async def spam_share(self, channel: Channel, model: str, *, most: int) -> float | None:
        """Mean probability of the latest messages of this bundle, [0, 1]; None without any. Raises StoreUnavailable."""
        ...
