"""The real daemon, struck once at each failpoint of the mail path. Nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.ledger import Attempt, Nature, Told
from tests.faults.letters import Letter, token_in
from tests.faults.rig import Rig, installed

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


DEATHS_ALLOWED = 3
"""After the fifth within a minute the daemon gives up, as it should."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with installed(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.fixture(scope="module")
def daemon(rig: Rig) -> Iterator[Callable[[], None]]:
    """Sees to it that a daemon runs whose worker may die once more."""
    deaths = 0
    with ExitStack() as stack:
        running = stack.enter_context(ExitStack())
        running.enter_context(rig.running())

        def ready() -> None:
            nonlocal deaths
            deaths += 1
            if deaths > DEATHS_ALLOWED:
                running.close()
                running.enter_context(rig.running())
                deaths = 1

        yield ready


async def strike(rig: Rig, letter: Letter, point: str, order: str) -> Attempt:
    """A letter that meets the failpoint and is repeated until it is taken; its first attempt."""
    rig.arm(point, order)
    first = await rig.sender.send(letter)
    if first.told is not Told.ACKED:
        assert first.told is not Told.REFUSED, first
        await rig.sender.deliver(letter, tries=300)
    assert rig.was_reached(point), first
    return first


def copies(rig: Rig, letter: Letter) -> int:
    """How many copies of the letter there are."""
    return sum(token_in(raw) == letter.token for raw in (*rig.hop.taken, *rig.held_bodies()))


@pytest.mark.parametrize(("point", "nature"), POINTS)
def test_killed_loses_nothing(rig: Rig, daemon: Callable[[], None], point: str, nature: Nature) -> None:
    daemon()
    letter = Letter(token=f"{point}-{nature.value}-kill", nature=nature)

    first = asyncio.run(strike(rig, letter, point, "kill"))

    assert first.told in (Told.DEFERRED, Told.UNCLEAR)
    assert first.reply == ""
    is_twice = nature is Nature.HAM and point in TWICE
    assert copies(rig, letter) in ((1, 2) if is_twice else (1,))
    assert rig.audit().faults() == {}
