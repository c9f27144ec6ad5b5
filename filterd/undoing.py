"""Takes back what people did: in the books of the store, and for a promotion in the registry too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from filterd.core.envelope import Channel
from filterd.deed_ports import Deed, Deeds, Selection, Undone
from filterd.log import Events
from filterd.model_ports import Withdrawals


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """What was taken back, or would be, and what that leaves."""

    undone: Undone
    seen_by: tuple[str, ...] = ()
    """Bundles of this host's registry that were trained on a label among it."""
    serving: Mapping[Channel, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where a promotion was taken back, the bundle that serves now."""


class Undoing:
    """Finds and takes back deeds of all kinds."""

    def __init__(self, deeds: Deeds, registry: Callable[[], Withdrawals], *, events: Events) -> None:
        """``registry`` is this host's: the promotions of others are only written down as taken back."""
        self._deeds = deeds
        self._registry = registry
        self._events = events

    async def find(self, meant: Selection, *, has_revoked: bool = False, limit: int = 50) -> Sequence[Deed]:
        """See ``deed_ports.Deeds``."""
        return await self._deeds.find(meant, has_revoked=has_revoked, limit=limit)

    async def rehearse(self, meant: Selection, by: str) -> TakenBack:
        """What ``undo`` would take back. Raises UsageError where nothing is given, NotFound, and StoreUnavailable."""
        undone = await self._deeds.undo(meant, by, is_rehearsal=True)
        return TakenBack(undone=undone, seen_by=await self._seen_by(undone))

    async def undo(self, meant: Selection, by: str) -> TakenBack:
        """Take back what is meant: its effects end within two seconds, and the next training leaves it out.

        Raises what ``rehearse`` does, and BundleError; done again, it goes on where it stopped.
        """
        planned = await self._deeds.undo(meant, by, is_rehearsal=True)
        # The registry first: whatever stops us, a promotion that is still in service does not count as taken back.
        serving = await asyncio.to_thread(self._withdraw, planned.promotions)
        undone = await self._deeds.undo(meant, by)
        if undone != Undone():
            self._events.undone(
                by, len(undone.labels), len(undone.rules), len(undone.releases), promotions=undone.promotions
            )
        return TakenBack(undone=undone, seen_by=await self._seen_by(undone), serving=serving)

    def _withdraw(self, promotions: Sequence[str]) -> Mapping[Channel, str]:
        registry = self._registry()
        return MappingProxyType(
            {
                channel: registry.withdraw(channel, id)
                for id in promotions
                for channel in Channel
                if id in registry.list(channel)
            }
        )

    async def _seen_by(self, undone: Undone) -> tuple[str, ...]:
        if not undone.labels:
            return ()
        return tuple(await asyncio.to_thread(self._registry().taught, undone.labels))
