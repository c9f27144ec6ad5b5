"""Changes which bundle serves and which is on trial, and writes down who did: for commands, pages and programs.

The registry first, the audit trail second: models change without a database, too. Running daemons notice by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from filterd.core.envelope import Channel
from filterd.errors import BundleError, TemporaryError, UsageError
from filterd.inference.registry import Registry
from filterd.inference.shelf import packaged_id, previous_of
from filterd.model_ports import AuditTrail, Trial


async def _alone() -> None:
    """There are no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was changed."""

    id: str
    """The bundle it is about; empty where nothing was on trial."""
    unaudited: str = ""
    """Why it is not in the audit trail; empty where it is."""


class Promoter:
    """Promotes, rolls back and tries bundles."""

    def __init__(
        self, registry: Callable[[], Registry], trail: AuditTrail, share: Callable[[], Awaitable[None]] = _alone
    ) -> None:
        """``share`` brings this host and the others together; it raises StoreUnavailable and BundleError."""
        self._registry = registry
        self._trail = trail
        self._share = share

    async def promote(self, channel: Channel, id: str, by: str, *, instead_of: str = "") -> Change:
        """Put a bundle into service: one of the registry, or the one in the package.

        Raises NotFound, BundleError if it is damaged, and UsageError where the one in service is not ``instead_of``.
        """
        await self._try_to_share()
        await asyncio.to_thread(_put, self._registry(), channel, id, instead_of)
        await self._try_to_share()
        return await self._noted("promoted", id, by)

    async def roll_back(self, channel: Channel, by: str, *, to: str = "") -> Change:
        """Put the bundle that served before into service.

        Raises BundleError if it is damaged, and UsageError where there is none, or it is not ``to``.
        """
        await self._try_to_share()
        registry = self._registry()
        previous = await asyncio.to_thread(previous_of, registry, channel)
        if previous is None:
            raise UsageError(f"no bundle of channel {channel.value} was in service before")
        if to and previous != to:
            raise UsageError(f"the bundle that served before is now {previous}")
        await asyncio.to_thread(_put, registry, channel, previous, "")
        await self._try_to_share()
        return await self._noted("rolled back to", previous, by)

    async def try_out(self, channel: Channel, trial: Trial, by: str) -> Change:
        """Try a published bundle on live messages. Raises NotFound, UsageError, or BundleError if it is damaged."""
        await asyncio.to_thread(self._registry().try_out, channel, trial)
        return await self._noted("canary" if trial.decides else "shadow", trial.id, by, f"{trial.share:g}")

    async def end_trial(self, channel: Channel, by: str) -> Change:
        """Try nothing any more. Raises BundleError."""
        ended = await asyncio.to_thread(self._registry().end_trial, channel)
        return Change(id="") if ended is None else await self._noted("trial ended", ended.id, by)

    async def _try_to_share(self) -> None:
        """Hear what others promoted before something is changed here, and tell them of it afterwards.

        What cannot be told now, the daemon of this host tells when it can.
        """
        with contextlib.suppress(TemporaryError, BundleError):
            await self._share()

    async def _noted(self, event: str, id: str, by: str, note: str = "") -> Change:
        try:
            await self._trail.note(event, id, by, note)
        except TemporaryError as exc:
            return Change(id=id, unaudited=exc.detail)
        return Change(id=id)


def _put(registry: Registry, channel: Channel, id: str, instead_of: str) -> None:
    packaged = packaged_id(registry, channel)
    current = registry.current(channel) or packaged
    if instead_of and current != instead_of:
        raise UsageError(f"the bundle in service is now {current}")
    if id == packaged and not registry.folder(channel, id).is_dir():
        registry.serve_packaged(channel)
    else:
        registry.promote(channel, id)
