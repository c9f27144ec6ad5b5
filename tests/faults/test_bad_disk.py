"""A disk that answers EIO: what should be held stays with its sender, and one good flush later nothing is believed.

The kernel reports a failed flush once and may have dropped what it could not write: the next flush succeeds and says
nothing about it. So the first error is the last word of a worker on its database, and another takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from filterd.worker import EXIT_BROKEN
from tests.faults import bad_disk
from tests.faults.forked import Forks, forking
from tests.faults.kills import check_integrity
from tests.faults.ledger import Nature, Told
from tests.faults.letters import Letter
from tests.faults.rig import Rig, installed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ORDERS = ("flush once", "write once", *(pytest.param(order, marks=pytest.mark.long) for order in ("flush", "write")))


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Forks]]:
    """An installation on SQLite whose worker's disk fails on demand."""
    if not bad_disk.is_possible():
        pytest.skip("needs Linux 5.5")
    with installed(tmp_path_factory.mktemp("disk")) as rig, forking(rig, has_bad_disk=True) as forks:
        forks.start()
        asyncio.run(rig.sender.deliver(Letter(token="before")))
        yield rig, forks


@pytest.mark.invariant("I1", "I2", "I3", "I8", "I9")
@pytest.mark.parametrize("nature", [Nature.SPAM, Nature.HAM])
@pytest.mark.parametrize("order", ORDERS)
def test_disk_error_is_the_last_word_on_the_database(failing: tuple[Rig, Forks], order: str, nature: Nature) -> None:
    rig, forks = failing
    name = f"{order.replace(' ', '-')}-{nature}"
    letters = [Letter(token=f"{name}-{n}", nature=each) for n, each in enumerate((nature, Nature.SPAM, Nature.HAM))]
    rig.arm(bad_disk.ORDER, order)

    first = asyncio.run(rig.sender.send(letters[0]))
    if order.endswith("once"):
        asyncio.run(_struck(rig))
    second, third = (asyncio.run(rig.sender.send(letter)) for letter in letters[1:])

    # Mail that passes does not need the database; what must be held gets no success, not even from a sound disk.
    assert (first.told, first.reply[:3]) == ((Told.DEFERRED, "451") if nature is Nature.SPAM else (Told.ACKED, "250"))
    assert (second.told, second.reply[:3]) == (Told.DEFERRED, "451")
    assert third.told is Told.ACKED
    assert forks.wait() == EXIT_BROKEN, "the worker gives its place to another"
    (rig.failpoints / bad_disk.ORDER).unlink(missing_ok=True)
    forks.start()
    for letter, attempt in zip(letters, (first, second, third), strict=True):
        if attempt.told is not Told.ACKED:
            asyncio.run(rig.sender.deliver(letter))
        assert rig.audit(letter).faults() == {}
    check_integrity(rig.root / "state/filterd.db")


async def _struck(rig: Rig) -> None:
    """Verdicts on mail that passed are written behind the reply: wait until the disk has failed."""
    async with asyncio.timeout(10):
        while not rig.was_reached(bad_disk.ORDER):  # noqa: ASYNC110  # another process takes the file away
            await asyncio.sleep(0.01)
