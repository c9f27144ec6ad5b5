"""Backup, restore, upgrade and the way back, on SQLite and PostgreSQL, by the commands of docs/operations.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from filterd import cli
from filterd.clock import SystemClock, mint_id
from filterd.config import load
from filterd.core.envelope import MessageId
from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from filterd.store import migrate
from filterd.store.sql import open_store
from filterd.testing import an_envelope
from tests.contract.stores import HOLD
from tests.servers import postgres
from tests.servers.gateway import Gateway, running, wait_until, write_settings

ROOT = Path(__file__).parents[2]
BOB = "bob@example.net"
BLOCK = re.compile(r"<!-- test: (backup|restore) of (SQLite|PostgreSQL) -->\n```sh\n(.*?)```", re.DOTALL)
BLOCKS = {
    (what, database.lower()): commands
    for what, database, commands in BLOCK.findall((ROOT / "docs/operations.md").read_text(encoding="utf-8"))
}
_FILTERD = """#!/bin/sh
exec {python} -m filterd "$@"
"""
_SYSTEMCTL = """#!/bin/sh
# A daemon that has ended and whose parent has not asked yet has no program any more.
if [ "$1" = stop ] && kill {pid}; then while [ -e /proc/{pid}/exe ]; do sleep 0.05; done; fi
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(slots=True, kw_only=True)
class Site:
    """An installation below one folder, as it outlives its daemons."""

    root: Path
    database: str
    config: Path
    ports: Ports
    environ: dict[str, str] = field(default_factory=dict)

    def filterd(self, *arguments: str) -> str:
        """What a command prints."""
        done = CliRunner().invoke(cli.build(), arguments, env={"FILTERD_CONFIG": str(self.config)})
        assert done.exit_code == 0, f"{done.output}{done.exception}"
        return done.stdout

    def documented(self, what: str, daemon: Gateway | None = None) -> None:
        """Run the documented commands, with the folders of this site for those of a machine."""
        commands = BLOCKS[what, self.database]
        for path in ("/var/lib/filterd", "/var/backups/filterd"):
            commands = commands.replace(path, str(self.root / Path(path).parent.name))
        programs = self.root / "bin"
        programs.mkdir(exist_ok=True)
        stubs = {"filterd": _FILTERD.replace("{python}", sys.executable)}
        if daemon:
            stubs["systemctl"] = _SYSTEMCTL.replace("{pid}", str(daemon.process.pid))
        for name, text in stubs.items():
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        self._run("sh", "-eu", "-c", commands.replace("-o filterd ", ""), PATH=f"{programs}:{self.environ['PATH']}")

    def held(self) -> dict[str, str]:
        """Subject -> id of what is in the quarantine."""
        rows = json.loads(self.filterd("quarantine", "list", "--json"))
        return {row["subject"]: row["id"] for row in rows}

    def send(self, raw: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", self.ports.smtp, local_hostname="client.example", timeout=60) as client:
            client.sendmail("eve@example.com", [BOB], raw)

    def delivered(self) -> list[bytes]:
        """What the next hop took, oldest first."""
        paths = (self.root / "delivered").glob("*.eml")
        return [path.read_bytes() for path in sorted(paths, key=lambda path: int(path.stem))]

    def daemon(self) -> contextlib.AbstractContextManager[Gateway]:
        return running(self.root, self.config, self.ports)

    def _run(self, *command: str, **environ: str) -> str:
        done = subprocess.run(
            command,
            env={**self.environ, **environ},
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def spam(subject: str) -> bytes:
    """Held by the small model of the gateway."""
    return (
        f"From: Eve <eve@example.com>\r\nTo: {BOB}\r\nSubject: {subject}\r\n\r\nlottery winner {subject}\r\n".encode()
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        ports, extra = Ports.free(), "[store]\ninput_retention_days = 0\n"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FILTERD_")}
        if request.param == "postgresql":
            programs = postgres.find_programs()
            assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
            url = stack.enter_context(postgres.running(programs))
            extra += f"url = {json.dumps(url)}\n"
            plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
            environ |= {"DATABASE": plain, "PATH": f"{programs}:{environ['PATH']}", **postgres.libraries(programs)}
        next_hop = stack.enter_context(on_a_thread(MailSink(tmp_path / "delivered")))
        config = write_settings(tmp_path, ports, next_hop=next_hop, extra=extra, state=tmp_path / "lib")
        environ["FILTERD_CONFIG"] = str(config)
        yield Site(root=tmp_path, database=request.param, config=config, ports=ports, environ=environ)


def test_restore_brings_back_what_was_held_labelled_ruled_promoted_and_released(site: Site) -> None:
    """After the loss of everything; what came after the backup is gone, and a copy released before it passes still."""
    with site.daemon() as daemon:
        for subject in ("one", "two", "three"):
            site.send(spam(subject))
        held = site.held()
        site.filterd("quarantine", "release", held["one"])
        site.filterd("report", "spam", held["two"])
        site.filterd("rules", "block", "casino.example")
        shutil.copytree(site.root / "bundle-sms", site.root / "sms-candidate")
        site.filterd("model", "publish", str(site.root / "sms-candidate"))
        events, rules, models = (site.filterd(*each) for each in (("events",), ("rules", "list"), ("model", "list")))
        site.documented("backup")
        site.send(spam("late"))
        site.filterd("quarantine", "delete", held["two"])
        site.filterd("rules", "revoke", "1")
        assert set(site.held()) == {"three", "late"}
        if site.database == "sqlite":
            # The disk with everything on it; only the configuration and the backup are left.
            daemon.process.kill()
            daemon.process.wait()
            shutil.rmtree(site.root / "lib")
            (site.root / "lib").mkdir(mode=0o700)
        site.documented("restore", daemon)

    with site.daemon() as daemon:
        assert set(site.held()) == {"two", "three"}
        site.filterd("quarantine", "release", held["three"])
        before = len(site.delivered())
        site.send(site.delivered()[0])

        assert [re.findall(rb"(?m)^Subject: (\w+)", raw)[0] for raw in site.delivered()] == [b"one", b"three", b"one"]
        assert before == 2
        assert site.filterd("rules", "list") == rules
        assert site.filterd("model", "list") == models
        assert set(events.splitlines()) <= set(site.filterd("events").splitlines())
        judged = wait_until(lambda: daemon.events("message.judged"))
        assert judged[-1]["reason"] == "released"


async def hold(path: Path, raw: bytes) -> MessageId:
    """The id of a message that is held in the database of a configuration."""
    clock = SystemClock()
    envelope = replace(an_envelope("eve@example.com", BOB, id=mint_id(clock)), received_at=clock.now())
    async with open_store(load(path, {}).config) as store:
        await store.hold(envelope, raw, HOLD)
    return envelope.id


def test_tables_of_the_oldest_version_are_brought_up_and_keep_what_is_held(site: Site) -> None:
    """Newest, back to the oldest and up again by a daemon that starts: the message of the first day is released."""
    oldest, held = min(migrate._revisions()), asyncio.run(hold(site.config, spam("first")))
    site.filterd("report", "spam", held)
    site.filterd("db", "downgrade", oldest, "--yes")
    assert site.filterd("db", "current") == f"at revision {oldest}, needs {migrate.newest()}\n"

    with site.daemon():
        assert site.filterd("db", "check") == "ok\n"
        site.filterd("quarantine", "release", held)
        assert b"lottery winner first" in site.delivered()[0]
        assert "spam" in site.filterd("events")


def test_every_documented_command_is_run() -> None:
    assert set(BLOCKS) == {(what, database) for what in ("backup", "restore") for database in ("sqlite", "postgresql")}
