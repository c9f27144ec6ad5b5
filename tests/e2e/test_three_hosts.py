"""Three hosts on one PostgreSQL under load: what is said on one holds on all; what happens to one is felt by none."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.ledger import Nature, Told
from tests.faults.letters import Letter
from tests.servers import hosts as installations
from tests.servers import networks
from tests.servers.hosts import Host, audited, publish, seconds_until
from tests.servers.missed_spam import EFFECT_SECONDS, filled

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]

PAUSE_SECONDS = 0.2
CAROL = "carol@inbox.example"


REFUSAL = networks.refusal()
"""Why this machine gives hosts no networks of their own."""


@pytest.fixture(scope="module", params=[not REFUSAL], ids=[f"by proxies: {REFUSAL}" if REFUSAL else "in namespaces"])
def hosts(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    with installations.running(tmp_path_factory.mktemp("hosts"), 3, is_apart=request.param) as hosts:
        yield hosts


class Load:
    """Senders that do not rest, on a loop and a thread of their own."""

    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts
        self._is_over = False

    def run(self) -> None:
        """Until it is over and every message has come to its end."""
        asyncio.run(self._run())

    def end(self) -> None:
        """Let every sender bring its last message to its end."""
        self._is_over = True

    async def _run(self) -> None:
        # Of each host one that sends nothing else: a deferred spam keeps its sender busy.
        natures = (Nature.HAM, Nature.SPAM)
        await asyncio.gather(*(self._send(n, nature) for n in range(len(self._hosts)) for nature in natures))

    async def _send(self, host: int, nature: Nature) -> None:
        sender = self._hosts[host].rig.sender
        while not self._is_over:
            number = next(_NUMBERS)
            await sender.deliver(Letter(token=f"h{host}n{number}", nature=nature), tries=1000, pause_seconds=0.1)
            await asyncio.sleep(PAUSE_SECONDS)


_NUMBERS = itertools.count()


@contextmanager
def load(hosts: list[Host]) -> Iterator[Load]:
    """Mail to every host until the end of the block."""
    work = Load(hosts)
    thread = threading.Thread(target=work.run)
    thread.start()
    try:
        yield work
    finally:
        work.end()
        thread.join(120)


def acked(host: Host, nature: Nature = Nature.HAM) -> int:
    """Messages of a nature that senders were told 2xx for."""
    return sum(each.told is Told.ACKED and each.nature is nature for each in list(host.rig.sender.attempts))


def is_flowing(host: Host, nature: Nature = Nature.HAM) -> bool:
    """Whether more of it is taken now."""
    before = acked(host, nature)
    return seconds_until(lambda: acked(host, nature) > before + 2) >= 0


def action(host: Host, sender: str = "letters.example") -> tuple[str, str]:
    """What becomes of one copy of a spam that the small model lets through."""
    line = host.judged(filled(), sender, CAROL)
    return line["action"], line["reason"]


def test_hosts_when_one_dies_and_one_is_cut_off_then_nothing_is_lost_and_what_is_said_reaches_all_that_live(
    hosts: list[Host],
) -> None:
    """A label, a rule and a promotion act on every host within two seconds; a host without a database passes ham."""
    first, second, third = hosts
    with load(hosts):
        missed = first.judged(filled(), "letters.example", CAROL)
        assert missed["action"] == "accept"
        first.call("POST", "/feedback", id=missed["id"], label="spam", recipient=CAROL)
        assert seconds_until(lambda: action(third) == ("quarantine", "reported")) < EFFECT_SECONDS
        assert action(second) == ("quarantine", "reported")

        second.call("POST", "/rules", kind="allow", scope=CAROL, entry="letters.example")
        assert seconds_until(lambda: action(third) == ("accept", "allowed")) < EFFECT_SECONDS
        assert action(first) == ("accept", "allowed")

        publish(second, "email-second")
        second.call("POST", "/models/email/promote", id="email-second")
        others = (first.rig, third.rig)
        pointers = [rig.root / "state" / "models" / "email" / "current" for rig in others]
        assert seconds_until(lambda: all(p.read_text().startswith("email-second\n") for p in pointers)) < EFFECT_SECONDS
        # Every scanner of three hosts starts again on one machine: that takes its time.
        for host in hosts:
            seconds_until(lambda host=host: host.model() == "email-second")  # type: ignore[misc]  # bound now

        third.cut_off()
        second.rig.sender.port, second.rig.sender.address = (
            first.rig.ports.smtp,
            first.rig.sender.address,
        )  # a sender turns to the other address of the name
        second.die()
        first.call("POST", "/rules", kind="deny", scope=CAROL, entry="letters.example")
        assert seconds_until(lambda: action(first) == ("quarantine", "denied")) < EFFECT_SECONDS
        # It has not heard: its way to the database is really gone.
        assert action(third) == ("accept", "allowed")
        assert is_flowing(first)
        assert is_flowing(third)
        assert is_flowing(first, Nature.SPAM)

        third.connect_again()
        seconds_until(lambda: action(third) == ("quarantine", "denied"))
        assert is_flowing(third, Nature.SPAM)

    assert audited(hosts).faults() == {}
