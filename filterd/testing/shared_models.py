"""What hosts share about models, in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from filterd.core.envelope import Channel
from filterd.model_ports import SharedPointer


class MemorySharedModels:
    """Implements ``model_ports.SharedModels``."""

    def __init__(self, check: Callable[[], datetime]) -> None:
        """``check`` gives the time, or raises."""
        self._check = check
        self._pointers: dict[Channel, SharedPointer] = {}
        self._files: dict[tuple[Channel, str], Mapping[str, bytes]] = {}

    async def pointers(self) -> Mapping[Channel, SharedPointer]:
        """See ``model_ports.SharedModels``."""
        self._check()
        return dict(self._pointers)

    async def files(self, channel: Channel, id: str) -> Mapping[str, bytes]:
        """See ``model_ports.SharedModels``."""
        self._check()
        return self._files.get((channel, id), {})

    async def point(self, channel: Channel, new: SharedPointer, files: Mapping[str, bytes], by: str) -> bool:
        """See ``model_ports.SharedModels``."""
        del by
        self._check()
        before = self._pointers.get(channel, SharedPointer(number=0, id=""))
        if new.number != before.number + 1:
            return False
        self._pointers[channel] = new
        kept = {key: found for key, found in self._files.items() if key[0] is not channel or key[1] == before.id}
        self._files = kept | ({(channel, new.id): dict(files)} if files else {})
        return True
