"""What the store knows about quality: site calibrations, audits and tallies, behind one name of the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from filterd.core.envelope import Channel
from filterd.core.site_calibration import LabelledLogit
from filterd.ports import Clock
from filterd.quality_ports import LabelledVerdict, SiteCalibration, Tally, Unlabelled
from filterd.store import calibrations, tallies
from filterd.store.quarantine import audit

T = TypeVar("T")


class Transactions(Protocol):
    """Runs one operation in one transaction."""

    def __call__(self, operation: Callable[[Connection], T], /) -> Awaitable[T]:
        """What it returned. Raises StoreUnavailable."""
        ...


class SqlQuality:
    """Implements ``quality_ports``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def calibrations(self) -> Sequence[SiteCalibration]:
        """See ``quality_ports.Calibrations``."""
        return await self._read(calibrations.listed)

    async def set_calibration(self, new: SiteCalibration) -> None:
        """See ``quality_ports.Calibrations``."""
        await self._write(partial(calibrations.put, new=new))

    async def drop_calibration(self, channel: Channel, model: str, by: str) -> bool:
        """See ``quality_ports.Calibrations``."""

        def drop(connection: Connection) -> bool:
            was_there = calibrations.drop(connection, channel, model)
            if was_there:
                audit(connection, self._clock.now(), by, "uncalibrated", model)
            return was_there

        return await self._write(drop)

    async def labelled_logits(self, channel: Channel, model: str, *, most: int) -> Sequence[LabelledLogit]:
        """See ``quality_ports.Calibrations``."""
        return await self._read(partial(calibrations.labelled, channel=channel, model=model, most=most))

    async def spam_share(self, channel: Channel, model: str, *, most: int) -> float | None:
        """See ``quality_ports.Calibrations``."""
        return await self._read(partial(calibrations.spam_share, channel=channel, model=model, most=most))

    async def tally(self, since: datetime, until: datetime, *, most: int) -> Sequence[Tally]:
        """See ``quality_ports.Tallies``."""
        return await self._read(partial(tallies.tally, since=since, until=until, most=most))

    async def model_at(self, channel: Channel, moment: datetime) -> tuple[str, datetime] | None:
        """See ``quality_ports.Tallies``."""
        return await self._read(partial(tallies.model_at, channel=channel, moment=moment))

    async def labelled_since(self, since: datetime, *, most: int) -> Sequence[LabelledVerdict]:
        """See ``quality_ports.Tallies``."""
        return await self._read(partial(tallies.labelled_since, since=since, most=most))

    async def audits_waiting(self, since: datetime) -> Mapping[Channel, int]:
        """See ``quality_ports.Tallies``."""
        return await self._read(partial(tallies.audits_waiting, since=since))

    async def newest_labels(self) -> Mapping[Channel, datetime]:
        """See ``quality_ports.Tallies``."""
        return await self._read(tallies.newest_labels)

    async def unlabelled(self, since: datetime, *, most: int) -> Unlabelled:
        """See ``quality_ports.Questions``."""
        return await self._read(partial(tallies.unlabelled, since=since, most=most))
