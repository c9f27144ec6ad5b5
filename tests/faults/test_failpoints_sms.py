"""The SMS line struck at each of its failpoints: what was answered 2xx is forwarded or held, under one key."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from filterd.demo.customer import CustomerUrl
from tests.faults.forked import Forks, forking
from tests.faults.ledger import Audit, Held, Nature, Told, audit
from tests.faults.rig import IN_CUSTODY, Rig, installed
from tests.faults.texts import TEXTS, Provider, forwarded, settings
from tests.servers.gateway import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POINTS = ("store.written", "store.committed", "webhook.stored", "pipeline.scanned", "pipeline.recorded", "sms.judged")
CELLS = [
    *((point, nature) for point in POINTS for nature in TEXTS),
    ("pipeline.held", Nature.SPAM),
    ("sms.forwarded", Nature.HAM),
]


@dataclass(slots=True, kw_only=True)
class Line:
    """An installation that receives SMS, its provider and its customer."""

    rig: Rig
    forks: Forks
    customer: CustomerUrl
    provider: Provider

    def rows(self, statement: str) -> list[Any]:
        """What the database says; an UPDATE is committed."""
        with closing(sqlite3.connect(self.rig.root / "state/filterd.db", timeout=10)) as connection:
            found = connection.execute(statement).fetchall()
            connection.commit()
        return found

    def audit(self, token: str) -> Audit:
        """What does not add up about one message; forwards under one idempotency key are one."""
        tokens = dict(self.rows("SELECT message_id, provider_id FROM sms_part"))
        delivered = forwarded(self.customer, tokens)
        states = ",".join(f"'{state}'" for state in IN_CUSTODY)
        held = [Held(token=tokens[id]) for (id,) in self.rows(f"SELECT message_id FROM held WHERE state IN ({states})")]
        return audit(
            [attempt for attempt in self.provider.attempts if attempt.token == token],
            [copy for copy in delivered if copy.token == token],
            [copy for copy in held if copy.token == token],
        )

    def is_done(self, token: str) -> bool:
        """Whether nothing is left to do; every lease and delay ends at once."""
        self.rows("UPDATE sms_message SET due_at = '2000-01-01 00:00:00.000000' WHERE state <> 'done'")
        done = "SELECT state FROM sms_message JOIN sms_part ON message_id = id WHERE provider_id = "
        return self.rows(f"{done}'{token}'") == [("done",)]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with (
        CustomerUrl() as customer,
        installed(tmp_path_factory.mktemp("sms"), extra=settings(customer)) as rig,
        forking(rig) as forks,
    ):
        forks.start()
        yield Line(rig=rig, forks=forks, customer=customer, provider=Provider(port=rig.ports.http))


@pytest.mark.invariant("I1", "I3")
@pytest.mark.parametrize(("point", "nature"), CELLS)
@pytest.mark.parametrize("order", ["kill", "fail", "delay 0.3"])
def test_sms_is_forwarded_or_held_once(line: Line, point: str, nature: Nature, order: str) -> None:
    token = f"{point}-{nature.value}-{order.partition(' ')[0]}"

    line.rig.arm(point, order)
    told = line.provider.call(token, nature)
    if order == "kill":
        assert line.forks.wait() == -signal.SIGKILL
        line.forks.start()
    for _ in range(50):
        if told is Told.ACKED:
            break
        told = line.provider.call(token, nature)
    wait_until(lambda: line.is_done(token), "done")

    assert told is Told.ACKED
    assert line.rig.was_reached(point)
    assert line.audit(token).faults() == {}
