"""Lets the registries of all hosts on one database agree on the bundle that serves.

Whoever promotes changes the registry of a host, as ever; what changed there is told to the database, with the bundle,
and what the database says that this host has not heard is done here. The last word that reached the database counts.
Trials stay on the host where they were begun. A host whose configuration pins a bundle serves that one all the same.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from filterd.core.envelope import Channel
from filterd.errors import BundleError, FilterdError
from filterd.log import Events
from filterd.model_ports import SharedModels, SharedPointer
from filterd.ports import Pause

_NOTHING = SharedPointer(number=0, id="")


class SharedRegistry(Protocol):
    """A registry that remembers what it last agreed on with the others."""

    def current(self, channel: Channel) -> str | None:
        """Id of the promoted bundle. Raises BundleError."""
        ...

    def agreed(self, channel: Channel) -> SharedPointer | None:
        """What this host last heard or said."""
        ...

    def agree(self, channel: Channel, pointer: SharedPointer) -> None:
        """Remember it."""
        ...

    def follow(self, channel: Channel, id: str) -> None:
        """Put a bundle that is here into service, or the package's own (empty). Raises NotFound and BundleError."""
        ...

    def has(self, channel: Channel, id: str) -> bool:
        """Whether the bundle is here."""
        ...

    def files(self, channel: Channel, id: str) -> Mapping[str, bytes]:
        """The files of a bundle by name. Raises BundleError."""
        ...

    def publish_files(self, files: Mapping[str, bytes]) -> str:
        """Publish a bundle that came as files; its id. Raises BundleError."""
        ...


class ModelSharing:
    """Brings one host's registry and the database together."""

    def __init__(self, registry: Callable[[], SharedRegistry], books: SharedModels | None) -> None:
        """``books`` are None where no other host can be."""
        self._registry = registry
        self._books = books
        self._trouble = ""

    @property
    def has_others(self) -> bool:
        """Whether there can be other hosts."""
        return self._books is not None

    async def watch(self, pause: Pause, events: Events) -> None:
        """Meet again and again, until cancelled; for one worker of a host."""
        while True:
            try:
                await self.meet()
            except BundleError as exc:
                self._note(exc.detail, events)
            except (FilterdError, TimeoutError):
                # The store's keeper says so; the bundles in service serve on.
                pass
            else:
                self._note("", events)
            await pause()

    async def meet(self) -> None:
        """Do what the others said, or tell them what was done here. Raises StoreUnavailable and BundleError."""
        if self._books is None:
            return
        told = await self._books.pointers()
        for channel in Channel:
            await self._meet(self._books, channel, told.get(channel, _NOTHING))

    async def _meet(self, books: SharedModels, channel: Channel, theirs: SharedPointer) -> None:
        registry = self._registry()
        agreed = await asyncio.to_thread(registry.agreed, channel) or _NOTHING
        if theirs.number != agreed.number:
            await self._follow(books, registry, channel, theirs)
            return
        ours = await asyncio.to_thread(registry.current, channel) or ""
        if ours != agreed.id:
            files = await asyncio.to_thread(registry.files, channel, ours) if ours else {}
            new = SharedPointer(number=agreed.number + 1, id=ours)
            # Where another host was first, the next meeting follows it.
            if await books.point(channel, new, files, socket.gethostname()):
                await asyncio.to_thread(registry.agree, channel, new)

    async def _follow(
        self, books: SharedModels, registry: SharedRegistry, channel: Channel, theirs: SharedPointer
    ) -> None:
        if theirs.id and not await asyncio.to_thread(registry.has, channel, theirs.id):
            files = await books.files(channel, theirs.id)
            if await asyncio.to_thread(registry.publish_files, files) != theirs.id:
                raise BundleError(f"the database has another bundle under the id {theirs.id}")
        await asyncio.to_thread(registry.follow, channel, theirs.id)
        # Last: whatever stops us before, it is done again.
        await asyncio.to_thread(registry.agree, channel, theirs)

    def _note(self, error: str, events: Events) -> None:
        """Tell when the others cannot be followed and when that is over, and not twice a second between."""
        if error != self._trouble:
            events.registry_state("shared models", error)
        self._trouble = error
