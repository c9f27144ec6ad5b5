"""A spam that the model lets through is reported once; from then on the next copies are held."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.demo.embedded import command
from tests.servers import postgres
from tests.servers.site import EFFECT_SECONDS, Gateway, gateway

TEXT = (
    "Hello {name},\r\n\r\nthank you for your patience. Our office has looked at the file of your late uncle once more "
    "and found that the balance may go to you this month. Kindly answer with your full name and a telephone number "
    "where Mr {agent} reaches you in the {time}, and we will arrange the rest between us.\r\n\r\n"
    "With regards\r\n{agent}\r\n"
)


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
