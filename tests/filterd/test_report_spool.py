"""Mail that scripts move into the spool is labelled and taken away; what has no id of ours is put aside."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from filterd.core.verdict import Action, Decision, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import ConfigError, StoreUnavailable
from filterd.labeller import Labeller
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.report_spool import PATIENCE_SECONDS, ReportSpool, prepare, recipient_in
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope

ONE, UNKNOWN = "1" * 32, "3" * 32
ANN = "ann@example.org"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAIL = b"Received: x\nX-Filterd-Id: %s\nFrom: eve@example.com\n\nwin\n"


class World:
    """A spool, and a ledger with one delivered message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FixedClock(NOW)
        self.store = MemoryStore(self.clock)
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.log = structlog.testing.LogCapture()
        self.events = Events(structlog.wrap_logger(None, processors=[self.log]), AddressMask(b"k"))
        labeller = Labeller(self.store, origin="spool", clock=self.clock, metrics=metrics, events=self.events)
        self.spool = ReportSpool(folder, labeller, clock=self.clock, events=self.events)
        prepare(folder)

    async def record(self) -> None:
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=replace(a_scan(), fingerprint="0" * 64))
        outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
        await self.store.record(
            Verdict.of(an_envelope("eve@example.com", ANN, "bob@example.org", id=ONE), 1, decision, outcome, {})
        )

    def put(self, name: str, raw: bytes = MAIL % ONE.encode(), *, age: float = 0.0) -> Path:
        path = self.folder / name
        path.write_bytes(raw)
        os.utime(path, (NOW.timestamp() - age,) * 2)
        return path

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if not path.is_dir())

    def standing(self) -> list[tuple[str, Label, str, str]]:
        return [(f.message_id, f.label, f.reporter, f.origin) for f in self.store.ledger.standing()]

    def result(self, name: str) -> float | None:
        return self.registry.get_sample_value("filterd_reports_total", {"origin": "spool", "result": name})


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = World(tmp_path / "spool")
    await made.record()
    return made


async def test_file_with_a_recipient_is_their_label_and_goes_away(world: World) -> None:
    world.put("spam/1700000000.M1P2.mail:2,S,r=Ann@Example.org")

    await world.spool.empty()

    assert world.standing() == [(ONE, Label.SPAM, ANN, "spool")]
    (change,) = await world.store.report_changes(None, most=9)
    assert change.report.recipients == (ANN,)
    assert not change.report.is_for_all
    assert (world.files(), world.result("new")) == ([], 1)


async def test_file_without_a_recipient_speaks_for_all_who_got_the_message(world: World) -> None:
    world.put("ham/1")

    await world.spool.empty()

    assert world.standing() == [(ONE, Label.HAM, "spool", "spool")]
    (change,) = await world.store.report_changes(None, most=9)
    assert change.report.recipients == (ANN, "bob@example.org")


@pytest.mark.parametrize(("first", "label"), [("spam", Label.HAM), ("ham", Label.SPAM)])
async def test_of_opposite_labels_the_file_that_came_later_counts(world: World, first: str, label: Label) -> None:
    for folder in ("spam", "ham"):
        world.put(f"{folder}/1,r={ANN}", age=2.0 if folder == first else 1.0)

    await world.spool.empty()

    assert world.standing() == [(ONE, label, ANN, "spool")]


async def test_file_that_is_being_written_is_left_alone(world: World) -> None:
    world.put(f"spam/.1,r={ANN}", age=1_000)
    world.put("spam/2", b"Received: x\nX-Filt", age=PATIENCE_SECONDS - 1)
    world.put("spam/3", MAIL % UNKNOWN.encode(), age=PATIENCE_SECONDS - 1)
    (world.folder / "spam/folder").mkdir()

    await world.spool.empty()

    assert world.standing() == []
    assert world.files() == [f"spam/.1,r={ANN}", "spam/2", "spam/3"]


async def test_file_without_an_id_of_ours_is_put_aside_once_it_is_old(world: World) -> None:
    world.put("spam/1", b"From: eve@example.com\n\nX-Filterd-Id: %s\n" % ONE.encode(), age=PATIENCE_SECONDS)
    world.put(f"ham/2,r={ANN}", MAIL % UNKNOWN.encode(), age=PATIENCE_SECONDS)
    world.put("ham/3", b"", age=PATIENCE_SECONDS)

    await world.spool.empty()

    assert world.standing() == []
    assert world.files() == [f"failed/ham/2,r={ANN}", "failed/ham/3", "failed/spam/1"]
    assert world.result("unreadable") == 3
    assert sorted((e["event"], e["id"]) for e in world.log.entries) == [
        ("report.unread", ""),
        ("report.unread", ""),
        ("report.unread", UNKNOWN),
    ]
    assert ANN not in str(world.log.entries)


async def test_c2_what_is_no_file_is_not_followed_and_blocks_nothing(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(MAIL % ONE.encode())
    (world.folder / "spam/link").symlink_to(secret)
    os.mkfifo(world.folder / "spam/pipe")
    for name in ("link", "pipe"):
        os.utime(world.folder / "spam" / name, (0, 0), follow_symlinks=False)

    await world.spool.empty()

    assert world.standing() == []
    assert world.files() == ["failed/spam/link", "failed/spam/pipe"]
    assert secret.exists()


async def test_file_while_the_database_is_away_waits(world: World) -> None:
    world.put(f"spam/1,r={ANN}")
    world.store.failure = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await world.spool.empty()
    assert world.files() == [f"spam/1,r={ANN}"]

    world.store.failure = None
    await world.spool.empty()

    assert (len(world.standing()), world.files()) == (1, [])


async def test_file_that_cannot_be_taken_away_is_labelled_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = world.put(f"spam/1,r={ANN}")

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(3):
        await world.spool.empty()

    assert (world.result("new"), world.result("repeated"), world.result("failed")) == (1, 0, 1)
    assert path.exists()
    assert [e["event"] for e in world.log.entries] == ["feedback.added", "report.failed"]


async def test_script_for_dovecot_puts_mail_into_the_spool(world: World) -> None:
    path = Path(__file__).parents[2] / "deploy/dovecot/filterd/bin/filterd-spool"
    script = path.read_text(encoding="utf-8")
    command = ["sh", "-c", script.replace("/var/spool/filterd", str(world.folder)), "filterd-spool", "spam", ANN]
    await asyncio.to_thread(partial(subprocess.run, command, input=MAIL % ONE.encode(), check=True))
    (path,) = (world.folder / "spam").iterdir()
    assert (path.name[0] != ".", path.stat().st_mode & 0o777) == (True, 0o660)

    await world.spool.empty()

    assert (world.standing(), world.files()) == ([(ONE, Label.SPAM, ANN, "spool")], [])


def test_folder_that_cannot_be_made_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"learning\.spool_dir"):
        prepare(tmp_path / "file" / "spool")


@pytest.mark.parametrize(
    ("name", "recipient"),
    [
        ("1700.M1.host", ""),
        ("1700.M1.host,r=Ann@Example.org", ANN),
        ("a,r=b,r=ann@example.org", ANN),
        (",r=", ""),
        (os.fsdecode(b"1,r=\xff@example.org"), "?@example.org"),
    ],
    ids=["none", "mixed case", "twice", "empty", "no text"],
)
def test_recipient_is_what_stands_behind_the_last_mark(name: str, recipient: str) -> None:
    assert recipient_in(name) == recipient


@given(st.binary(max_size=200))
def test_recipient_is_always_text(name: bytes) -> None:
    recipient_in(os.fsdecode(b"1,r=" + name)).encode()
