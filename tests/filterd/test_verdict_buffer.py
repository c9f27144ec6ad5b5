import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from structlog import get_logger

from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import NotFound, StoreUnavailable
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.testing import MemoryStore, an_envelope
from filterd.verdict_buffer import MOST_WAITING, VerdictBuffer

pytestmark = pytest.mark.asyncio

TAKEN = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, enhanced="2.0.0", lines=("Ok",)))
HAM = Decision(action=Action.ACCEPT, reason=Reason.HAM)


def verdict(number: int, channel: Channel = Channel.EMAIL) -> Verdict:
    envelope = replace(an_envelope(), id=MessageId(f"{number:032x}"), channel=channel)
    return Verdict.of(envelope, 100, HAM, TAKEN, {})


class Books(MemoryStore):
    """A store that counts transactions, refuses one id for ever, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions = 0
        self.poison = ""
        self.is_away = False

    async def record(self, *verdicts: Verdict) -> None:
        if self.is_away or any(each.id == self.poison for each in verdicts):
            raise StoreUnavailable("away")
        self.transactions += 1
        await super().record(*verdicts)

    async def has(self, number: int) -> bool:
        try:
            return bool(await self.verdicts(verdict(number).id))
        except NotFound:
            return False


def buffered(books: Books, metrics: Metrics) -> VerdictBuffer:
    return VerdictBuffer(books, metrics=metrics, events=Events(get_logger(), AddressMask(b"key")))


def lost(metrics: Metrics) -> float:
    count: float = metrics.record_failures._value.get()
    return count


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filterd.verdict_buffer._RETRY_SECONDS", 0.01)


async def soon(condition) -> None:
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never happened")


async def test_record_when_many_come_at_once_then_all_are_written_in_few_transactions(metrics):
    books = Books()
    async with buffered(books, metrics) as buffer:
        for number in range(1, 201):
            await buffer.record(verdict(number))

        await soon(lambda: books.has(200))

    assert all([await books.has(number) for number in range(1, 201)])
    assert books.transactions <= 3
    assert lost(metrics) == 0


async def test_record_when_it_is_an_sms_then_it_is_written_before_the_call_returns(metrics):
    books = Books()
    async with buffered(books, metrics) as buffer:
        await buffer.record(verdict(1, Channel.SMS))

        assert await books.has(1)

        books.is_away = True
        with pytest.raises(StoreUnavailable):
            await buffer.record(verdict(2, Channel.SMS))


async def test_close_when_verdicts_wait_then_they_are_written_first(metrics):
    books = Books()
    async with buffered(books, metrics) as buffer:
        await buffer.record(verdict(1), verdict(2))

    assert await books.has(1)
    assert await books.has(2)


async def test_record_when_the_database_was_away_then_everything_is_there_once_it_is_back(metrics):
    books = Books()
    books.is_away = True
    async with buffered(books, metrics) as buffer:
        for number in range(1, 6):
            await buffer.record(verdict(number))
        await asyncio.sleep(0.1)
        books.is_away = False

        await soon(lambda: books.has(5))

        assert all([await books.has(number) for number in range(1, 6)])
    assert lost(metrics) == 0


@pytest.mark.parametrize("place", [1, 3, 7, 8])
async def test_record_when_one_can_never_be_written_then_the_others_are_and_it_is_counted(metrics, place):
    books = Books()
    books.poison = verdict(place).id
    async with buffered(books, metrics) as buffer:
        await buffer.record(*(verdict(number) for number in range(1, 9)))

        async def others_are_there() -> bool:
            return all([await books.has(number) for number in range(1, 9) if number != place])

        await soon(others_are_there)

        async def it_was_counted() -> bool:
            return lost(metrics) == 1

        await soon(it_was_counted)


async def test_record_when_too_many_wait_then_the_oldest_give_way_and_are_counted(metrics):
    books = Books()
    books.is_away = True
    async with buffered(books, metrics) as buffer:
        await buffer.record(*(verdict(number) for number in range(1, MOST_WAITING + 3)))

        assert lost(metrics) == 2

        books.is_away = False
        await soon(lambda: books.has(MOST_WAITING + 2))
        assert not await books.has(1)


async def test_close_when_the_database_stays_away_then_it_ends_and_what_is_lost_is_counted(metrics):
    books = Books()
    books.is_away = True
    async with buffered(books, metrics) as buffer:
        await buffer.record(verdict(1))

    assert lost(metrics) == 1
