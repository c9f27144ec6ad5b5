"""What pages and API know of the models: what is on disk, what serves, and who may change it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from filterd.core.envelope import Channel
from filterd.errors import BundleError, UsageError
from filterd.inference.registry import Registry
from filterd.inference.shelf import Shelf, shelf_of
from filterd.model_ports import Disagreement, Disagreements
from filterd.promotion import Change, Promoter


async def carried_out(change: Awaitable[Change]) -> Change:
    """What was changed; a bundle or registry that cannot be used is said to whoever asked. Raises UsageError."""
    try:
        return await change
    except BundleError as exc:
        raise UsageError(exc.detail) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """What pages and API work on where models are concerned."""

    registry: Callable[[], Registry]
    pinned: Callable[[], Mapping[Channel, str]]
    """Folders of bundles that the configuration names."""
    serving: Callable[[], Mapping[Channel, str]]
    """Ids of the bundles that this worker serves."""
    promoter: Promoter
    books: Disagreements

    async def shelf(self, channel: Channel) -> Shelf:
        """The bundles of ``channel``."""
        return await asyncio.to_thread(shelf_of, self.registry(), channel, self.pinned().get(channel, ""))

    async def disagreements(self, shelf: Shelf, limit: int) -> Sequence[Disagreement]:
        """What the candidate on trial would have done otherwise, the latest first. Raises StoreUnavailable."""
        if shelf.trial is None:
            return ()
        return await self.books.disagreements(shelf.channel, shelf.trial.id, limit=limit)
