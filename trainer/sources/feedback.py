"""People's labels from a gateway's store, with what the model read of each message; and the lease on the store.

The only place where the trainer touches the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from filterd.core.bundle import Hashing
from filterd.core.envelope import Channel, MessageId
from filterd.core.token_codec import hashing_key, unpack
from filterd.errors import BundleError, TemporaryError
from filterd.feedback_ports import LabelledInput, LabelledInputs, PastMessage
from filterd.model_files import sharing
from filterd.settings import Config
from filterd.store.engine import database_url
from filterd.store.lease import Lease, lease
from filterd.store.sql import open_store
from trainer.errors import AlreadyRunning

_PAGE = 2_000


@contextmanager
def only_one(config: Config, task: str) -> Iterator[Lease]:
    """The lease on ``task``, on every host that shares the store. Raises AlreadyRunning and StoreUnavailable."""
    url = database_url(config.store.url.reveal(), config.server.state_dir)
    with lease(url, task, timeout_seconds=config.store.timeout_seconds) as held:
        if held is None:
            raise AlreadyRunning(f"another process on this store does {task} at the moment; try again when it is done")
        yield held


def read(config: Config, channel: Channel) -> tuple[LabelledInput, ...]:
    """Every standing label of a channel whose message can still be read, by number. Raises StoreUnavailable."""

    async def opened() -> tuple[LabelledInput, ...]:
        async with open_store(config, is_migrating=False) as store:
            return await standing(store, channel)

    return asyncio.run(opened())


def past(config: Config, channel: Channel, since: datetime) -> Iterator[PastMessage]:
    """Messages of a channel received at ``since`` or later that can be scored again, by id, a page at a time.

    Raises StoreUnavailable.
    """
    opened = open_store(config, is_migrating=False)
    with asyncio.Runner() as runner:
        store = runner.run(opened.__aenter__())
        try:
            after: MessageId | None = None
            while page := runner.run(store.past(channel, since=since, after=after, most=_PAGE)):
                yield from page
                after = page[-1].id
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def standing(store: LabelledInputs, channel: Channel) -> tuple[LabelledInput, ...]:
    """The same from an open store."""
    found: list[LabelledInput] = []
    while page := await store.labelled_inputs(channel, after=found[-1].id if found else 0, most=_PAGE):
        found += page
    return tuple(found)


def note(config: Config, event: str, bundle: str, say: Callable[[str], None]) -> None:
    """Into the audit trail; what was done stands without it, too."""

    async def opened() -> None:
        async with open_store(config, is_migrating=False) as store:
            await store.note(event, bundle, "trainer retrain")

    try:
        asyncio.run(opened())
    except TemporaryError as exc:
        say(f"not in the audit trail: {exc.detail}")


def share(config: Config, say: Callable[[str], None]) -> None:
    """Bring the registry and those of the hosts on the same database together; the daemon does so too, when it can."""

    async def opened() -> None:
        async with open_store(config, is_migrating=False) as store:
            await sharing(config, store.models).meet()

    try:
        asyncio.run(opened())
    except (TemporaryError, BundleError) as exc:
        say(f"other hosts are not told yet: {exc.detail}")


def is_readable(labelled: LabelledInput, hashing: Hashing) -> bool:
    """Whether a model of this hashing can learn from it: not from what another version of the features read."""
    if labelled.hashing != hashing_key(hashing):
        return False
    try:
        unpack(labelled.tokens, hashing)
    except ValueError:
        return False
    return True
