"""The commands that work on the store: report, quarantine, token, db."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import structlog

from filterd import cli
from filterd.clock import SystemClock
from filterd.core.envelope import MessageId
from filterd.core.verdict import (
    Action,
    Decision,
    Evidence,
    Feedback,
    Label,
    Outcome,
    OutcomeKind,
    Reason,
    Reply,
    Verdict,
)
from filterd.inference.registry import packaged_models, read_spec
from filterd.store.engine import database_url
from filterd.store.migrate import newest
from filterd.store.sql import SqlStore
from filterd.testing import a_scan, an_envelope
from filterd.web.auth import identify

pytestmark = pytest.mark.slow  # commands as processes

RAW = b"Subject: =?utf-8?q?caf=C3=A9?= \x1b[31mred\r\nX-Evil: \x1b]0;title\x07\r\n\r\nbody \xff\r\n"
HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
ID = MessageId(f"{0xABC << 80:032x}")
T = TypeVar("T")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    config = f'[server]\nstate_dir = "{folder}"\n[smtp]\nnext_hop = "127.0.0.1:1"\n'
    (tmp_path / "filterd.toml").write_text(config)
    return folder


@pytest.fixture
def run(state: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("FILTERD_CONFIG", str(state.parent / "filterd.toml"))

    def call(*arguments: str) -> tuple[int, str, str]:
        """Exit code, output and errors of one command."""
        monkeypatch.setattr(sys, "argv", ["filterd", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as exc:
            code = int(exc.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    yield call
    # The log of a command goes to this test's standard error, which ends with it.
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def store(state: Path) -> Callable[[Callable[[SqlStore], Awaitable[T]]], T]:
    """Runs something on the store the commands use."""

    def on_store(work: Callable[[SqlStore], Awaitable[T]]) -> T:
        async def opened() -> T:
            async with SqlStore(database_url("", str(state)), clock=SystemClock()) as store:
                await store.migrate()
                return await work(store)

        return asyncio.run(opened())

    return on_store


@pytest.fixture
def held(store) -> None:
    store(
        lambda s: s.hold(an_envelope("al\x1bice@example.org", "bob@example.net", "eve@example.net", id=ID), RAW, HOLD)
    )


# verdicts


@pytest.mark.usefixtures("held")
def test_b11_verdicts_print_a_line_per_decision_that_cannot_steer_a_terminal(run: Run) -> None:
    code, out, _ = run("verdicts")

    title, line = out.splitlines()
    assert code == 0
    assert title.split("\t")[0] == "id"
    assert line.split("\t") == [ID, "email", "quarantine", "spam", "held", "0.9700", "al\ufffdice@example.org"]


def test_verdicts_as_json_are_one_array_whatever_octets_an_address_has(run: Run, store) -> None:
    store(lambda s: s.hold(an_envelope("al\udcff@example.org", id=ID), RAW, HOLD))

    code, out, _ = run("verdicts", "--json", "--channel", "email", "--limit", "1")

    (verdict,) = json.loads(out)
    assert (code, verdict["id"], verdict["sender"]) == (0, ID, "al?@example.org")
    assert run("verdicts", "--json", "--channel", "sms")[1].strip() == "[]"


# quarantine


@pytest.mark.usefixtures("held")
def test_b11_list_prints_a_line_per_message_that_cannot_steer_a_terminal(run: Run) -> None:
    code, out, _ = run("quarantine", "list")

    title, line = out.splitlines()
    assert code == 0
    assert title.split("\t")[0] == "id"
    fields = line.split("\t")
    assert fields[0] == ID
    assert fields[2:] == ["al\ufffdice@example.org", "bob@example.net +1", "spam", "0.970", "café  [31mred"]
    assert "\x1b" not in out


@pytest.mark.usefixtures("held")
def test_list_as_json_is_one_array(run: Run) -> None:
    _, out, _ = run("quarantine", "list", "--json", "--query", "ALICE".lower()[:2])

    (message,) = json.loads(out)
    assert (message["id"], message["state"], message["recipients"]) == (
        ID,
        "held",
        ["bob@example.net", "eve@example.net"],
    )


@pytest.mark.usefixtures("held")
def test_show_prints_the_header_and_the_body_only_when_asked(run: Run) -> None:
    code, out, _ = run("quarantine", "show", ID[:12])

    assert code == 0
    assert "reason: spam" in out
    assert "X-Evil:" in out
    assert "body" not in out
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.usefixtures("held")
def test_show_raw_writes_the_octets_as_they_came(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
    run("quarantine", "show", ID, "--raw")

    assert out.getvalue() == RAW


@pytest.mark.usefixtures("held")
def test_deleted_message_is_gone(run: Run) -> None:
    assert run("quarantine", "delete", ID)[:2] == (0, f"{ID} deleted\n")

    assert run("quarantine", "list", "--json")[1] == "[]\n"
    code, out, err = run("quarantine", "delete", ID)
    assert (code, out) == (2, "")
    assert err.startswith(f"filterd: message {ID} is deleted")


@pytest.mark.usefixtures("held")
def test_release_to_a_next_hop_that_is_down_is_one_line_and_holds_on(run: Run) -> None:
    code, out, err = run("quarantine", "release", ID)

    assert (code, out) == (75, "")
    assert re.fullmatch(r"filterd: [^\n]+\n", err.splitlines(keepends=True)[-1])
    assert "Traceback" not in err
    assert json.loads(run("quarantine", "list", "--json")[1])[0]["state"] == "held"


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("f" * 32, "no held message"),
        ("f" * 8, "no held message"),
        ("abc", "at least 8"),
        ("xyz", "not the id of a message"),
        ("", "not the id"),
        ("f" * 33, "not the id"),
    ],
)
@pytest.mark.parametrize("command", ["show", "release", "delete"])
def test_unknown_id_is_one_line(run: Run, command: str, id: str, words: str) -> None:
    code, out, err = run("quarantine", command, id)

    assert (code, out) == (2, "")
    assert err.startswith("filterd: ")
    assert words in err
    assert err.count("\n") == 1


# report


@pytest.mark.usefixtures("held")
def test_report_by_id_is_said_once(run: Run) -> None:
    assert run("report", "spam", ID)[:2] == (0, f"{ID} reported as spam\n")
    assert run("report", "spam", ID)[:2] == (0, f"{ID} was reported as spam already\n")
    assert run("report", "ham", ID)[:2] == (0, f"{ID} reported as ham\n")


@pytest.mark.usefixtures("held")
def test_report_by_delivered_mail_finds_the_id_in_its_header(run: Run, tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_bytes(b"Received: x\r\nx-filterd-ID:  " + ID.upper().encode() + b"\r\nSubject: x\r\n\r\nbody\r\n")

    assert run("report", "ham", str(mail))[:2] == (0, f"{ID} reported as ham\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Subject: x\r\n\r\nX-Filterd-Id: " + ID.encode() + b"\r\n", "has no X-Filterd-Id header"),
        (b"X-Filterd-Id: 12\r\n\r\n", "has no X-Filterd-Id header"),
        (b"", "has no X-Filterd-Id header"),
        (b"X-Filterd-Id: " + b"f" * 32 + b"\r\n\r\n", "no message"),
        (None, "neither the id of a message nor a file"),
    ],
    ids=["in the body", "malformed", "empty", "unknown", "no file"],
)
def test_report_on_what_did_not_pass_this_filter_is_one_line(
    run: Run, tmp_path: Path, content: bytes | None, words: str
) -> None:
    mail = tmp_path / "mail.eml"
    if content is not None:
        mail.write_bytes(content)
    code, out, err = run("report", "spam", str(mail))

    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_report_knows_two_labels(run: Run) -> None:
    assert run("report", "eggs", ID)[0] == 2


# token


def test_token_is_shown_once_and_works_until_revoked(run: Run, store) -> None:
    code, out, _ = run("token", "create", "ci", "--scope", "feedback", "--scope", "quarantine")
    secret = out.strip()
    assert code == 0
    assert re.fullmatch(r"fd_[A-Za-z0-9_-]{43}", secret)
    assert store(lambda s: identify(f"Bearer {secret}", s)).name == "ci"
    listed = run("token", "list")[1]
    assert "ci\tfeedback quarantine\t" in listed
    assert secret not in listed

    assert run("token", "revoke", "ci")[:2] == (0, "ci revoked\n")
    assert store(lambda s: identify(f"Bearer {secret}", s)) is None
    assert run("token", "revoke", "ci")[0] == 2


def test_secret_is_not_in_the_database(run: Run, state: Path) -> None:
    secret = run("token", "create", "ci", "--scope", "admin")[1].strip()

    assert all(secret.encode() not in path.read_bytes() for path in state.iterdir())


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "cli:root"])
def test_token_name_that_would_mislead_is_refused(run: Run, name: str) -> None:
    code, _, err = run("token", "create", name, "--scope", "admin")

    assert code == 2
    assert err.count("\n") == 1


# db


def test_database_is_made_by_upgrade_and_checked(run: Run) -> None:
    assert run("db", "current")[0] == 75
    assert run("db", "upgrade")[:2] == (0, f"at revision {newest()}\n")
    assert run("db", "current")[:2] == (0, f"at revision {newest()}, needs {newest()}\n")
    assert run("db", "check")[:2] == (0, "ok\n")


@pytest.mark.usefixtures("held")
def test_backup_is_restored_with_what_was_held(run: Run, state: Path) -> None:
    """What came and went since then is forgotten."""
    copy = state.parent / "copy.db"
    code, out, _ = run("db", "backup", str(copy))
    assert (code, out) == (0, f"{copy}: {copy.stat().st_size} bytes\n")
    run("quarantine", "delete", ID)

    assert run("db", "restore", str(copy))[:2] == (0, f"{state / 'filterd.db'}: as in {copy}\n")

    assert [row["id"] for row in json.loads(run("quarantine", "list", "--json")[1])] == [ID]


def test_downgrade_takes_the_tables_back_and_upgrade_brings_them_up(run: Run) -> None:
    run("db", "upgrade")

    assert run("db", "downgrade", "0006", "--yes")[:2] == (0, "at revision 0006\n")
    assert run("db", "current")[1] == f"at revision 0006, needs {newest()}\n"
    assert run("db", "check")[0] == 78
    assert run("db", "upgrade")[1] == f"at revision {newest()}\n"


@pytest.mark.parametrize("revision", ["0007", "9999", "base", "none"])
def test_downgrade_to_where_no_way_leads_back_is_refused(run: Run, revision: str) -> None:
    run("db", "upgrade")
    run("db", "downgrade", "0006", "--yes")

    code, _, err = run("db", "downgrade", revision, "--yes")

    assert (code, err) == (2, f"filterd: the tables are at revision 0006 and cannot be taken back to {revision}\n")


@pytest.mark.parametrize("command", [("restore", "x"), ("downgrade", "0001", "--yes")], ids=["restore", "downgrade"])
def test_tables_are_not_exchanged_under_a_running_daemon(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("filterd.commands.ready.is_running", lambda _address: True)

    assert run("db", *command)[::2] == (2, "filterd: stop the daemon first\n")


@pytest.mark.parametrize(
    ("command", "instead"), [("backup", "pg_dump"), ("restore", "pg_restore")], ids=["backup", "restore"]
)
def test_copies_of_postgresql_are_for_its_own_programs(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, instead: str
) -> None:
    monkeypatch.setenv("FILTERD_STORE__URL", "postgresql://filterd@127.0.0.1:1/none")

    code, _, err = run("db", command, "copy.db")

    assert code == 2
    assert instead in err


@pytest.mark.usefixtures("held")
def test_erase_says_what_went(run: Run) -> None:
    assert run("db", "erase", "bob@example.net")[:2] == (
        0,
        "erased: verdict 1, held 1, feedback 0, scanned 0, sms 0, rule 0\n",
    )
    assert run("db", "erase", "eve@example.net")[:2] == (
        0,
        "erased: verdict 1, held 1, feedback 0, scanned 0, sms 0, rule 0\n",
    )
    assert run("quarantine", "list", "--json")[1] == "[]\n"
    assert run("db", "erase", " ")[0] == 2


@pytest.mark.usefixtures("held")
def test_purge_deletes_what_is_past_its_days(run: Run) -> None:
    assert run("db", "purge")[:2] == (
        0,
        "purged: verdict 1, held 1, feedback 0, scanned 0, sms 0, rule 0, deleted 0, ticket 0\n",
    )


@pytest.mark.parametrize("command", [("quarantine", "list"), ("token", "list"), ("db", "upgrade"), ("db", "purge")])
def test_unreachable_database_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, str]) -> None:
    monkeypatch.setenv("FILTERD_STORE__URL", "postgresql://filterd:hunter2@127.0.0.1:1/none")
    code, out, err = run(*command)

    assert (code, out) == (75, "")
    assert err.startswith("filterd: database ")
    assert err.count("\n") == 1
    assert "hunter2" not in err


def test_questions_name_messages_and_why_and_an_answer_ends_them(run: Run, store) -> None:
    decision = replace(
        HOLD, threshold=0.9, scan=replace(a_scan(0.92), evidence=(Evidence(token="\x1bprize", weight=1),))
    )
    envelope = replace(an_envelope(id=ID), received_at=SystemClock().now())
    held = Outcome(kind=OutcomeKind.HELD, reply=Reply(code=250))
    store(lambda store: store.record(Verdict.of(envelope, 1, decision, held, {})))

    code, out, _ = run("questions")

    assert code == 0
    assert out.splitlines()[1].split("\t") == [
        ID,
        "threshold",
        "quarantine",
        "0.9200",
        "alice@example.org",
        "\N{REPLACEMENT CHARACTER}prize",
    ]
    run("report", "ham", ID)
    assert len(run("questions")[1].splitlines()) == 1


def test_calibrate_says_what_is_missing_and_undo_that_there_is_nothing(run: Run) -> None:
    code, _, err = run("calibrate", "sms")

    assert (code, err.startswith("filterd: 20 labels are missing: 0 of 20")) == (2, True)
    code, _, err = run("calibrate", "--undo")
    assert (code, "this site has no calibration of email-" in err) == (2, True)


def test_calibrate_applies_what_is_better_audits_it_and_undo_takes_it_back(run: Run, store, state: Path) -> None:
    spec = read_spec(packaged_models() / "email")

    async def labelled(store: SqlStore) -> None:
        for n in range(40):
            scan = replace(a_scan(0.5), logit=(n - 20) / 5, model=spec.id)
            envelope = an_envelope(id=f"{n + 1:032x}")
            held = Outcome(kind=OutcomeKind.HELD, reply=Reply(code=250))
            await store.record(Verdict.of(envelope, 1, replace(HOLD, scan=scan), held, {}))
            label = Label.SPAM if n >= 28 else Label.HAM
            await store.add_feedback(
                Feedback(message_id=envelope.id, label=label, reporter="ann", given_at=SystemClock().now())
            )

    async def applied(store: SqlStore) -> list[float]:
        return [site.calibration.bias for site in await store.quality.calibrations()]

    store(labelled)
    assert run("calibrate", "--dry-run")[1].endswith("would be applied\n")
    assert store(applied) == []

    code, out, _ = run("calibrate")

    assert (code, out.splitlines()[-1]) == (0, "applied")
    assert "40 labels, 12 of them spam" in out
    (bias,) = store(applied)
    assert bias < -0.5
    assert run("calibrate", "--undo")[0] == 0
    assert store(applied) == []
    with contextlib.closing(sqlite3.connect(state / "filterd.db")) as database:
        events = [row[0] for row in database.execute("SELECT event FROM audit ORDER BY id")]
    assert events[-2:] == ["calibrated", "uncalibrated"]


def test_rules_are_given_listed_and_revoked(run: Run, state: Path) -> None:
    assert run("rules", "allow", "Friend@Example.org", "--for", "bob@example.net")[:2] == (0, "rule 1 holds\n")
    assert run("rules", "allow", "friend@example.org", "--for", "BOB@example.net")[1] == "rule 1 holds already\n"
    assert run("rules", "block", "casino.example")[:2] == (0, "rule 2 holds\n")
    assert run("rules", "threshold", "--for", "example.net", "--quarantine-at", "0.5", "--no-filter")[0] == 0

    lines = run("rules", "list")[1].splitlines()

    assert [line.split("\t")[:3] for line in lines] == [
        ["rule", "for", "what"],
        ["3", "example.net", "quarantine_at=0.5 enabled=False"],
        ["2", "everybody", "deny casino.example"],
        ["1", "bob@example.net", "allow friend@example.org"],
    ]
    assert run("rules", "revoke", "2")[:2] == (0, "rule 2 revoked\n")
    assert run("rules", "revoke", "2")[0] == run("rules", "revoke", "99")[0] == 2
    assert len(run("rules", "list", "--for", "")[1].splitlines()) == 1
    audit = _audit(state)
    assert ("rule_added", "2", "deny cli") in audit
    assert ("rules_revoked", "", "[2]") in audit


@pytest.mark.parametrize(
    "words",
    [
        ["allow", "two words"],
        ["block", ""],
        ["allow", "a.example", "--for", "@"],
        ["threshold"],
        ["threshold", "--tag-at", "brutal"],
        ["threshold", "--quarantine-at", "1.5"],
        ["list", "--for", "a b"],
        ["allow", "a.example", "--message", "f" * 32],
    ],
)
def test_rule_that_means_nothing_is_refused_in_one_line(run: Run, words: list[str]) -> None:
    code, out, err = run("rules", *words)

    assert (code, out, err.count("\n")) == (2, "", 1)


def test_undo_says_what_it_takes_back_and_what_it_cannot(run: Run, store, state: Path) -> None:
    async def released(opened: SqlStore) -> None:
        await opened.claim_release(ID, "ann", 60)
        await opened.finish_release(ID, "ann", delivered=True)

    store(lambda opened: opened.hold(an_envelope("alice@example.org", "bob@example.net", id=ID), RAW, HOLD))
    store(released)
    run("report", "ham", ID)
    run("rules", "block", "evil.example")

    kinds = [line.split("\t")[1] for line in run("events")[1].splitlines()[1:]]
    assert sorted(kinds) == ["deny", "label", "release"]
    assert run("undo", "--message", ID, "--dry-run")[1].splitlines()[0] == "1 label, 1 release would be revoked"
    told = run("undo", "--message", ID)[1].splitlines()
    assert told[0] == "1 label, 1 release revoked"
    assert "cannot be called back" in told[1]
    assert run("undo", "--sender-domain", "evil.example", "--kind", "label")[1] == "0 labels revoked\n"
    assert run("undo", "--sender-domain", "evil.example")[1] == "1 rule revoked\n"
    assert run("events")[1].count("\n") == 1
    assert run("events", "--revoked", "--kind", "release")[1].count(" by cli") == 1
    assert run("undo")[0] == 2
    assert ("release_undone", ID, "") in _audit(state)


def _audit(state: Path) -> set[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(state / "filterd.db")) as connection:
        return set(connection.execute("SELECT event, target, note FROM audit"))
