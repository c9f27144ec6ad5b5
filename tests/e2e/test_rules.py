"""Rules set while the daemon runs: every worker goes by them within two seconds, for nobody but those they are for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.demo.embedded import command
from filterd.demo.messages import MAILS
from tests.servers import postgres
from tests.servers.missed_spam import EFFECT_SECONDS, Gateway, gateway

ANN, BOB = "ann@inbox.example", "bob@inbox.example"
SENDER = "office@letters.example"
SPAM = next(mail.text for mail in MAILS if mail.label == "spam").replace("\n", "\r\n")
SESSIONS = 8
"""Enough to reach both workers."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    with contextlib.ExitStack() as stack:
        store = ""
        if request.param == "postgresql":
            programs = postgres.find_programs()
            assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
            store = stack.enter_context(postgres.running(programs))
        yield stack.enter_context(gateway(tmp_path, store))


def decided(running: Gateway, recipient: str = ANN) -> set[tuple[object, ...]]:
    """Action, reason and detail of one spam to ``recipient`` in each of several sessions."""
    rows = [running.send(SPAM, recipient) for _ in range(SESSIONS)]
    return {(row["action"], row["reason"], row["detail"]) for row in rows}


def policy_of(running: Gateway, row: dict[str, object]) -> object:
    """Version of the policy that decided; a verdict is there a moment before it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = {each["policy"] for each in running.call("GET", f"/verdicts/{row['id']}")["verdicts"]}
        if "" not in found:
            return found.pop()
        time.sleep(0.05)
    raise AssertionError("no version")


@pytest.mark.slow
def test_rules_when_given_by_the_api_hold_in_every_worker_for_their_scope_until_they_are_revoked(
    running: Gateway,
) -> None:
    before = running.send(SPAM)
    assert (before["action"], before["outcome"]) == ("quarantine", "held")
    held = {("quarantine", "spam", before["detail"])}

    rule = running.call("POST", "/rules", kind="allow", scope=ANN, entry=SENDER, message=before["id"])
    time.sleep(EFFECT_SECONDS)
    assert decided(running) == {("accept", "allowed", SENDER)}
    both = running.send_to(SPAM, ANN, BOB)
    assert [(both[to]["action"], both[to]["outcome"]) for to in (ANN, BOB)] == [
        ("accept", "relayed"),
        ("quarantine", "held"),
    ]
    assert policy_of(running, both[ANN]) != policy_of(running, before)

    running.call("DELETE", f"/rules/{rule['id']}")
    time.sleep(EFFECT_SECONDS)
    assert decided(running) == held
    assert policy_of(running, running.send(SPAM)) == policy_of(running, before)

    running.call("POST", "/rules", kind="thresholds", scope=ANN, tag_at="off", quarantine_at="off")
    time.sleep(EFFECT_SECONDS)
    assert {(action, reason) for action, reason, _ in decided(running)} == {("accept", "ham")}
    assert decided(running, BOB) == held


@pytest.mark.slow
def test_rules_on_the_command_line_hold_for_their_scope_until_revoked(tmp_path: Path) -> None:
    with gateway(tmp_path) as running:
        assert "rule 1 holds" in command(running.config, "rules", "block", "letters.example", "--for", "inbox.example")
        assert "holds already" in command(
            running.config, "rules", "block", "letters.example", "--for", "@inbox.example"
        )
        command(running.config, "rules", "threshold", "--quarantine-at", "off", "--tag-at", "0.5")
        time.sleep(EFFECT_SECONDS)

        assert decided(running) == {("quarantine", "denied", "letters.example")}
        assert {action for action, _, _ in decided(running, "zoe@other.example")} == {"tag"}
        listed = command(running.config, "rules", "list")
        assert "inbox.example\tdeny letters.example\tcli" in listed
        assert "everybody\ttag_at=0.5 quarantine_at=off\tcli" in listed

        assert command(running.config, "rules", "revoke", "1") == "rule 1 revoked\n"
        time.sleep(EFFECT_SECONDS)
        assert {action for action, _, _ in decided(running)} == {"tag"}
        assert "deny letters.example" in command(running.config, "rules", "list", "--revoked")
