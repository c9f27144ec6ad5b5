"""A spam that the model lets through is reported once; from then on the next copies are held."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers import postgres

EFFECT_SECONDS = 2.0
TEXT = (
    "Hello {name},\r\n\r\nthank you for your patience. Our office has looked at the file of your late uncle once more "
    "and found that the balance may go to you this month. Kindly answer with your full name and a telephone number "
    "where Mr {agent} reaches you in the {time}, and we will arrange the rest between us.\r\n\r\n"
    "With regards\r\n{agent}\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running daemon with two workers, and an administrator's token."""

    ports: Ports
    config: Path
    token: str
    seen: set[str]

    def send(self, text: str, recipient: str = "ann@inbox.example") -> dict[str, object]:
        """Send one mail and return its verdict."""
        with smtplib.SMTP("127.0.0.1", self.ports.smtp, local_hostname="client.example", timeout=30) as client:
            body = f"From: Office <office@letters.example>\r\nTo: {recipient}\r\nSubject: your file\r\n\r\n{text}"
            client.sendmail("office@letters.example", [recipient], body.encode())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            fresh = [row for row in self.call("GET", "/verdicts")["verdicts"] if row["id"] not in self.seen]
            if fresh:
                self.seen.update(row["id"] for row in fresh)
                return fresh[0]  # type: ignore[no-any-return]
            time.sleep(0.05)
        raise AssertionError("no verdict")

    def call(self, method: str, path: str, **body: object) -> Any:
        """What the API answers."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=30)) as connection:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            assert response.status < 300, response.read()
            return json.loads(response.read())


@contextlib.contextmanager
def gateway(folder: Path, store: str = "") -> Iterator[Gateway]:
    ports, config = Ports.free(), folder / "filterd.toml"
    extra = f'[store]\nurl = "{store}"\n' if store else ""
    with on_a_thread(MailSink(folder / "delivered")) as next_hop:
        write_config(config, ports, state=folder / "state", next_hop=next_hop, extra=extra, workers=2)
        token = command(config, "token", "create", "root", "--scope", "admin").split()[-1]
        with daemon(config, ports, folder / "filterd.log"):
            yield Gateway(ports=ports, config=config, token=token, seen=set())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    with contextlib.ExitStack() as stack:
        store = ""
        if request.param == "postgresql":
            programs = postgres.find_programs()
            assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
            store = stack.enter_context(postgres.running(programs))
        yield stack.enter_context(gateway(tmp_path, store))


def filled(name: str = "Ann", agent: str = "Dale Porter", time: str = "evening") -> str:
    return TEXT.format(name=name, agent=agent, time=time)


@pytest.mark.slow
def test_report_once_and_the_next_reworded_copy_is_held_in_every_worker_until_it_is_revoked(running: Gateway) -> None:
    missed = running.send(filled())
    assert missed["action"] == "accept"

    running.call("POST", "/feedback", id=missed["id"], label="spam", recipient="ann@inbox.example")
    time.sleep(EFFECT_SECONDS)
    copies = [running.send(filled("Ms Miller", f"Agent {n}", "morning")) for n in range(8)]

    # Eight sessions reach both workers.
    assert {(copy["action"], copy["reason"], copy["outcome"]) for copy in copies} == {
        ("quarantine", "reported", "held")
    }
    assert {str(copy["detail"]).partition(",")[0] for copy in copies} == {"spam to recipient"}
    assert running.send(filled(), "bob@inbox.example")["action"] == "accept"

    assert running.call("POST", "/feedback/revoke", message=missed["id"])["labels"] == [1]
    time.sleep(EFFECT_SECONDS)

    assert {running.send(filled("Ms Miller"))["action"] for _ in range(6)} == {"accept"}


@pytest.mark.slow
def test_report_once_on_the_command_line_counts_for_everybody_until_undone(tmp_path: Path) -> None:
    with gateway(tmp_path) as running:
        missed = running.send(filled())
        command(running.config, "report", "spam", str(missed["id"]))
        time.sleep(EFFECT_SECONDS)

        held = running.send(filled("Bob"), "bob@other.example")

        assert (held["reason"], held["outcome"]) == ("reported", "held")
        told = command(running.config, "explain", str(held["id"]))
        assert "quarantine, because reported (spam to all, report 1); held" in told
        assert f"like {missed['id']}, reported as spam by cli" in told
        assert re.search(r"probability 0\.\d{4} against threshold 0\.\d{4}", told)
        *parts, total = [float(value) for value in re.findall(r"^  +([+-]\d+\.\d{4})  ", told, re.MULTILINE)]
        assert sum(parts) == pytest.approx(total, abs=1e-3)
        assert re.search(r"logit [+-]\d+\.\d{4} reproduced", told)
        assert "1 label revoked" in command(running.config, "undo", "--campaign", str(held["id"]))
        time.sleep(EFFECT_SECONDS)
        assert running.send(filled("Bob"), "bob@other.example")["action"] == "accept"
