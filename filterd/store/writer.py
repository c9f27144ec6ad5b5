"""Group commit: everything that waits is written in one transaction, and nobody hears success before it is durable.

One writer per process. The cost of a durable commit is a disk flush; twenty writers that share one are twenty times
as fast as twenty that do not. A cancelled waiter does not cancel its commit: a message that is half accepted is worse
than one that is kept twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.errors import FilterdError, StoreUnavailable
from filterd.failpoints import failpoint
from filterd.store.engine import StorePoisoned, is_about_one, translate

MAX_BATCH = 500
"""Operations in one transaction."""
MAX_WAITING = 5_000
"""Operations waiting for the next one; more are refused."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    operation: Callable[[Connection], Any]
    done: asyncio.Future[Any]

    def succeed(self, result: object) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class GroupWriter:
    """Owns the one connection that writes: an asynchronous one, or one on a thread of its own."""

    def __init__(
        self,
        engine: AsyncEngine | Engine,
        *,
        name: str,
        window_seconds: float,
        timeout_seconds: float,
        on_state: Callable[[bool, str], None],
    ) -> None:
        self._engine = engine
        self._name = name
        self._window_seconds = window_seconds
        self._timeout_seconds = timeout_seconds
        self._on_state = on_state
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._queue: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_up = True
        self._poison: StorePoisoned | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="store-writer")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Write what waits, then stop."""
        self._is_closing = True
        self._queue.put_nowait(None)
        if self._task is not None:
            await self._task
        if isinstance(self._engine, Engine):
            await self._in_thread(self._engine.dispose)
        self._thread.shutdown()

    async def submit(self, operation: Callable[[Connection], T], *, timeout_seconds: float | None = None) -> T:
        """What ``operation`` returned, once its transaction is durable.

        The operation may run twice: it must not change anything but the database. Raises StoreUnavailable or
        StoreFull, and whatever error of ours the operation raises.
        """
        if self._poison is not None:
            raise StorePoisoned(self._poison.detail)
        if self._is_closing or self._task is None or self._task.done():
            raise StoreUnavailable(f"database {self._name}: closed")
        if self._queue.qsize() >= MAX_WAITING:
            raise StoreUnavailable(f"database {self._name}: {MAX_WAITING} writes are waiting")
        limit = timeout_seconds or self._timeout_seconds
        item = _Item(operation=operation, done=asyncio.get_running_loop().create_future())
        self._queue.put_nowait(item)
        try:
            async with asyncio.timeout(limit):
                result: T = await item.done
        except TimeoutError:
            raise StoreUnavailable(f"database {self._name}: no commit in {limit:g} s") from None
        return result

    async def _run(self) -> None:
        while (first := await self._queue.get()) is not None:
            batch = [first]
            # A lone writer need not wait for company that is not there.
            if self._window_seconds and not self._queue.empty():
                await asyncio.sleep(self._window_seconds)
            is_last = self._fill(batch)
            await self._write(batch)
            if is_last:
                return

    def _fill(self, batch: list[_Item]) -> bool:
        """Take what waits; whether the end was among it."""
        while len(batch) < MAX_BATCH and not self._queue.empty():
            item = self._queue.get_nowait()
            if item is None:
                return True
            batch.append(item)
        return False

    async def _write(self, batch: Sequence[_Item], *, can_repeat: bool = True) -> None:
        try:
            results = await self._commit(batch)
        except Exception as exc:  # noqa: BLE001  # whatever it is belongs to the waiters; the writer goes on
            if len(batch) > 1 and is_about_one(exc):
                for item in batch:
                    await self._write([item])
            elif can_repeat and is_about_one(exc) and not isinstance(exc, FilterdError):
                # Another process was faster: the second look sees what it wrote.
                await self._write(batch, can_repeat=False)
            else:
                self._fail(batch, exc)
            return
        self._note(is_up=True, error="")
        for item, result in zip(batch, results, strict=True):
            item.succeed(result)

    async def _commit(self, batch: Sequence[_Item]) -> list[Any]:
        if self._poison is not None:
            raise self._poison

        def write(connection: Connection) -> list[Any]:
            results = [item.operation(connection) for item in batch]
            failpoint("store.written")
            return results

        if isinstance(self._engine, Engine):
            results = await self._in_thread(partial(_in_transaction, self._engine, write))
        else:
            async with self._engine.begin() as connection:
                results = await connection.run_sync(write)
        failpoint("store.committed")
        return results

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _fail(self, batch: Sequence[_Item], cause: Exception) -> None:
        error = translate(cause, self._name)
        if isinstance(error, StorePoisoned):
            self._poison = error
        if isinstance(error, StoreUnavailable):
            self._note(is_up=False, error=error.detail)
        for item in batch:
            # One exception object per waiter: each of them adds its own traceback.
            item.fail(type(error)(error.detail) if isinstance(error, FilterdError) else error)

    def _note(self, *, is_up: bool, error: str) -> None:
        if is_up != self._is_up:
            self._is_up = is_up
            self._on_state(is_up, error)


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)
