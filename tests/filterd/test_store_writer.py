"""Group commit: shared transactions, one bad operation, cancelled waiters, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.errors import NotFound, StoreUnavailable
from filterd.store.engine import create_engine, create_file, create_thread_engine, database_url
from filterd.store.writer import GroupWriter


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    path = tmp_path / "w.db"
    create_file(path)
    engine = create_engine(database_url(f"sqlite:///{path}", ""), timeout_seconds=5, is_writer=True)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        await connection.exec_driver_sql("CREATE TABLE commits (n INTEGER)")
    yield engine
    await engine.dispose()


@pytest.fixture(params=["async", "thread"])
def writing(request: pytest.FixtureRequest, engine: AsyncEngine) -> AsyncEngine | Engine:
    """What the writer writes with: PostgreSQL's way and SQLite's."""
    return engine if request.param == "async" else create_thread_engine(engine.url, timeout_seconds=5)


def writer_on(
    engine: AsyncEngine | Engine, states: list[bool] | None = None, timeout_seconds: float = 5.0
) -> GroupWriter:
    seen = [] if states is None else states
    return GroupWriter(
        engine,
        name="test",
        window_seconds=0.001,
        timeout_seconds=timeout_seconds,
        on_state=lambda is_up, _: seen.append(is_up),
    )


class Add:
    """Inserts a number; counts its runs."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.transactions: list[int] = []

    def __call__(self, connection: Connection) -> int:
        self.transactions.append(id(connection.get_transaction()))
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": self.n})
        return self.n


async def numbers(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list(await connection.run_sync(lambda c: c.scalars(text("SELECT n FROM t ORDER BY n")).all()))


async def test_what_waits_shares_a_transaction(engine: AsyncEngine, writing: AsyncEngine | Engine) -> None:
    operations = [Add(n) for n in range(100)]
    async with writer_on(writing) as writer:
        results = await asyncio.gather(*(writer.submit(operation) for operation in operations))

    assert results == list(range(100))
    assert await numbers(engine) == list(range(100))
    assert len({operation.transactions[0] for operation in operations}) <= 2


async def test_operation_that_breaks_a_constraint_fails_alone(
    engine: AsyncEngine, writing: AsyncEngine | Engine
) -> None:
    async with writer_on(writing) as writer:
        await writer.submit(Add(5))
        results = await asyncio.gather(*(writer.submit(Add(n)) for n in range(10)), return_exceptions=True)

    assert isinstance(results[5], StoreUnavailable)
    assert [r for i, r in enumerate(results) if i != 5] == [n for n in range(10) if n != 5]
    assert await numbers(engine) == list(range(10))


async def test_operation_that_raises_one_of_our_errors_fails_alone_and_leaves_nothing(
    engine: AsyncEngine, writing: AsyncEngine | Engine
) -> None:
    def missing(connection: Connection) -> None:
        Add(99)(connection)
        raise NotFound("no such thing")

    async with writer_on(writing) as writer:
        results = await asyncio.gather(
            writer.submit(Add(1)), writer.submit(missing), writer.submit(Add(2)), return_exceptions=True
        )

    assert isinstance(results[1], NotFound)
    assert await numbers(engine) == [1, 2]


async def test_bug_in_an_operation_reaches_its_caller_and_nobody_else(
    engine: AsyncEngine, writing: AsyncEngine | Engine
) -> None:
    def bug(_connection: Connection) -> None:
        raise ZeroDivisionError

    async with writer_on(writing) as writer:
        results = await asyncio.gather(writer.submit(bug), writer.submit(Add(1)), return_exceptions=True)
        assert isinstance(results[0], ZeroDivisionError)
        assert await writer.submit(Add(2)) == 2

    assert await numbers(engine) == [1, 2]


async def test_cancelled_waiter_does_not_cancel_its_commit(engine: AsyncEngine, writing: AsyncEngine | Engine) -> None:
    async with writer_on(writing) as writer:
        waiter = asyncio.create_task(writer.submit(Add(1)))
        other = asyncio.create_task(writer.submit(Add(2)))
        await asyncio.sleep(0)
        waiter.cancel()
        assert await other == 2

    assert waiter.cancelled()
    assert await numbers(engine) == [1, 2]


async def test_closing_writes_what_waits_and_takes_no_more(engine: AsyncEngine, writing: AsyncEngine | Engine) -> None:
    writer = writer_on(writing)
    async with writer:
        waiters = [asyncio.create_task(writer.submit(Add(n))) for n in range(20)]
        await asyncio.sleep(0)

    assert await asyncio.gather(*waiters) == list(range(20))
    assert await numbers(engine) == list(range(20))
    with pytest.raises(StoreUnavailable):
        await writer.submit(Add(21))


async def test_success_is_only_told_once_the_commit_is_done(
    engine: AsyncEngine, writing: AsyncEngine | Engine, tmp_path: Path
) -> None:
    """A second connection, which sees committed rows only, finds the row as soon as its writer hears of it."""
    other = create_engine(database_url(f"sqlite:///{tmp_path}/w.db", ""), timeout_seconds=5, is_writer=False)
    try:
        async with writer_on(writing) as writer:
            for n in range(5):
                await writer.submit(Add(n))
                assert n in await numbers(other)
    finally:
        await other.dispose()


async def test_commit_that_takes_too_long_is_unavailable(
    engine: AsyncEngine, writing: AsyncEngine | Engine, tmp_path: Path
) -> None:
    blocker = create_engine(database_url(f"sqlite:///{tmp_path}/w.db", ""), timeout_seconds=5, is_writer=True)
    try:
        async with writer_on(writing, timeout_seconds=0.1) as writer, blocker.begin():
            with pytest.raises(StoreUnavailable, match=r"no commit in 0\.1 s"):
                await writer.submit(Add(1))
    finally:
        await blocker.dispose()


async def test_going_and_coming_back_are_noted_once(engine: AsyncEngine, tmp_path: Path) -> None:
    states: list[bool] = []
    hidden = tmp_path / "elsewhere.db"
    async with writer_on(engine, states) as writer:
        await engine.dispose()
        (tmp_path / "w.db").rename(hidden)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await writer.submit(Add(1))
        hidden.rename(tmp_path / "w.db")
        await writer.submit(Add(1))
        await writer.submit(Add(2))

    assert states == [False, True]
