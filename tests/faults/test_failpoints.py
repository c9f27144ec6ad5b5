"""A worker struck once at each failpoint of the mail path: killed, failed, delayed. Nothing acknowledged is lost.

The table of ``docs/delivery.md`` says what is expected at each.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults.forked import Forks, forking
from tests.faults.kills import database
from tests.faults.ledger import Attempt, Nature, Told
from tests.faults.letters import Letter
from tests.faults.rig import Rig, installed
from tests.servers import postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RELAYED = ("relay.data", "relay.body", "relay.dot", "pipeline.relayed")
HELD = ("store.written", "store.committed", "pipeline.held")
BOTH = ("smtp.mail", "smtp.data", "smtp.received", "pipeline.scanned", "pipeline.recorded", "smtp.answered")
POINTS = [
    *((point, Nature.HAM) for point in (*BOTH, *RELAYED)),
    *((point, Nature.SPAM) for point in (*BOTH, *HELD)),
]
TWICE = {"relay.dot", "pipeline.relayed", "pipeline.recorded", "smtp.answered"}
"""Where the next hop may have the message and its sender does not know."""


@dataclass(slots=True, kw_only=True)
class Struck:
    """An installation whose worker may be struck."""

    rig: Rig
    forks: Forks

    async def strike(self, letter: Letter, point: str, order: str) -> Attempt:
        """A letter that meets the failpoint and is repeated until it is taken; its first attempt."""
        self.rig.arm(point, order)
        first = await self.rig.sender.send(letter)
        if order.startswith("kill"):
            assert await asyncio.to_thread(self.forks.wait) == -signal.SIGKILL
            await asyncio.to_thread(self.forks.start)
        if first.told is not Told.ACKED:
            assert first.told is not Told.REFUSED, first
            await self.rig.sender.deliver(letter)
        assert self.rig.was_reached(point), first
        return first

    def copies(self, letter: Letter) -> int:
        """How many copies of the letter there are; fails when one is not what it should be."""
        found = self.rig.audit(letter)
        # Struck between its record and its answer, a message that went through is answered 451.
        is_answer_lost = letter.token.startswith(("pipeline.recorded", "smtp.answered"))
        assert set(found.faults()) <= {"duplicates", *(["unrecorded"] if is_answer_lost else [])}, found
        return found.counts["delivered"] + found.counts["held"]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def struck(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Struck]:
    name: str = request.param
    if name == "postgresql" and postgres.find_programs() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL on this machine")
    with (
        database(name) as url,
        installed(tmp_path_factory.mktemp(name), url=url) as rig,
        forking(rig) as forks,
    ):
        forks.start()
        yield Struck(rig=rig, forks=forks)


@pytest.mark.invariant("I1", "I2", "I3", "I6")
@pytest.mark.parametrize(("point", "nature"), POINTS)
@pytest.mark.parametrize("order", ["kill 0.1", "fail", "delay 0.3"], ids=["kill", "fail", "delay"])
def test_message_is_neither_lost_nor_doubled_without_need(
    struck: Struck, point: str, nature: Nature, order: str
) -> None:
    letter = Letter(token=f"{point}-{nature.value}-{order.partition(' ')[0]}", nature=nature)

    first = asyncio.run(struck.strike(letter, point, order))

    if order.startswith("kill"):
        assert (first.told is Told.ACKED, first.reply) == (False, "")
    if order == "fail":
        # Where the books fail to open, mail that passes does not need them; a store that fails is asked once more.
        assert first.reply[:3] in ("451", "250")
    if order.startswith("delay"):
        assert first.told is Told.ACKED
    may_be_twice = nature is Nature.HAM and point in TWICE and first.told is not Told.ACKED
    assert struck.copies(letter) in ((1, 2) if may_be_twice else (1,))
