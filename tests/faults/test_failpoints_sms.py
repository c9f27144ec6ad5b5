"""The SMS line struck at each of its failpoints: what was answered 2xx is forwarded or held, under one key."""

from __future__ import annotations

import base64
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from filterd.demo.customer import CustomerUrl
from filterd.demo.webhook_client import signed_request
from tests.faults.forked import Forks, forking
from tests.faults.ledger import Attempt, Audit, Delivered, Held, Nature, Status, Told, audit
from tests.faults.rig import IN_CUSTODY, Rig, installed
from tests.servers.gateway import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
TEXTS = {Nature.HAM: "see you at lunch", Nature.SPAM: "lottery winner call now"}
VERDICTS = {"accept": Status.NO, "quarantine": Status.YES, "": Status.UNSCANNED}
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
    attempts: list[Attempt] = field(default_factory=list)

    def call(self, token: str, nature: Nature) -> Told:
        """One call of the provider."""
        base = f"http://127.0.0.1:{self.rig.ports.http}"
        url, headers, body = signed_request(
            "generic",
            base_url=base,
            secret=SECRET,
            id=token,
            sender="+15550001",
            recipient="+15550002",
            text=TEXTS[nature],
            now=datetime.now(UTC),
        )
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=15) as answer:
                status = answer.status
        except urllib.error.HTTPError as exc:
            status = exc.code
        except OSError:
            status = 0
        told = Told.ACKED if 200 <= status < 300 else Told.REFUSED if 400 <= status < 500 else Told.UNCLEAR
        self.attempts.append(Attempt(token=token, nature=nature, told=told, reply=str(status)))
        return told

    def rows(self, statement: str) -> list[Any]:
        """What the database says; an UPDATE is committed."""
        with closing(sqlite3.connect(self.rig.root / "state/filterd.db", timeout=10)) as connection:
            found = connection.execute(statement).fetchall()
            connection.commit()
        return found

    def audit(self, token: str) -> Audit:
        """What does not add up about one message; forwards under one idempotency key are one."""
        tokens = dict(self.rows("SELECT message_id, provider_id FROM sms_part"))
        forwards = {call["idempotency-key"]: call for call in self.customer.received}
        delivered = [
            Delivered(token=tokens[call["x-filterd-id"]], status=VERDICTS[call.get("x-filterd-verdict", "")])
            for call in forwards.values()
        ]
        states = ",".join(f"'{state}'" for state in IN_CUSTODY)
        held = [Held(token=tokens[id]) for (id,) in self.rows(f"SELECT message_id FROM held WHERE state IN ({states})")]
        return audit(
            [attempt for attempt in self.attempts if attempt.token == token],
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
    with CustomerUrl() as customer:
        extra = f'[sms.generic]\nsecret = "{SECRET}"\ndeliver_url = "{customer.url}"\n'
        with installed(tmp_path_factory.mktemp("sms"), extra=extra) as rig, forking(rig) as forks:
            forks.start()
            yield Line(rig=rig, forks=forks, customer=customer)


@pytest.mark.invariant("I1", "I3")
@pytest.mark.parametrize(("point", "nature"), CELLS)
@pytest.mark.parametrize("order", ["kill", "fail", "delay 0.3"])
def test_sms_is_forwarded_or_held_once(line: Line, point: str, nature: Nature, order: str) -> None:
    token = f"{point}-{nature.value}-{order.partition(' ')[0]}"

    line.rig.arm(point, order)
    told = line.call(token, nature)
    if order == "kill":
        assert line.forks.wait() == -signal.SIGKILL
        line.forks.start()
    for _ in range(50):
        if told is Told.ACKED:
            break
        told = line.call(token, nature)
    wait_until(lambda: line.is_done(token), "done")

    assert told is Told.ACKED
    assert line.rig.was_reached(point)
    assert line.audit(token).faults() == {}
