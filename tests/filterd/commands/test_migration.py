"""Every command of docs/migration.md, in the order it stands there."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterd.cli import build
from filterd.clock import SystemClock
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import a_scan, an_envelope
from tests.filterd.tiny_bundle import HAM_MAIL, SPAM_MAIL, write_bundle

PAGE = Path(__file__).parents[3] / "docs/migration.md"
ID = MessageId("0123456789abcdef0123456789abcdef")


def _commands() -> list[str]:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.splitlines()]


def _furnish(home: Path) -> None:
    """What somebody who comes from another filter has."""
    files = {
        "etc/local.cf": b"required_score 6\nwhitelist_from ann@friends.example *@lists.example *bank.*\n",
        ".spamassassin/user_prefs": b"blacklist_from *@lottery.example\n",
        ".bogofilter.cf": b"spam_cutoff=0.6\n",
        "Maildir/.Junk/cur/1": SPAM_MAIL,
        "Maildir/cur/1": HAM_MAIL,
        "corpus/spam.mbox": b"From a@b Thu Jan  1 10:00:00 2026\n" + SPAM_MAIL.replace(b"\r\n", b"\n") + b"again\n",
        "message.eml": f"X-Filterd-Id: {ID}\r\n".encode() + HAM_MAIL,
    }
    for name, raw in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


async def _record(state: Path) -> None:
    outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
    decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan())
    async with SqlStore(database_url("", str(state)), clock=SystemClock()) as store:
        envelope = replace(an_envelope("a@example.org", "ann@example.net"), id=ID)
        await store.record(Verdict.of(envelope, 1, decision, outcome, {}))


@pytest.mark.slow
def test_every_command_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them fails, and what they print is what the page promises."""
    _furnish(tmp_path)
    bundle = write_bundle(tmp_path / "bundle", Channel.EMAIL)
    config = tmp_path / "filterd.toml"
    config.write_text(f'[server]\nstate_dir = "{tmp_path / "state"}"\n[models]\nemail = "{bundle}"\n', encoding="utf-8")
    monkeypatch.setenv("FILTERD_CONFIG", str(config))
    assert CliRunner().invoke(build(), ["db", "upgrade"]).exit_code == 0
    asyncio.run(_record(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for line in _commands():
        words = shlex.split(line.replace("~", str(tmp_path)).replace("/etc/spamassassin", str(tmp_path / "etc")))
        assert words[0] == "filterd", line
        done = CliRunner().invoke(build(), words[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}\n{done.output}"
        said[line] = done.stdout

    folder = "filterd import maildir ~/Maildir/.Junk --label spam --for ann@example.net"
    assert said[folder].startswith("1 imported as spam, 0 known already")
    assert "2 rules, 0 hold already, 1 skipped" in said["filterd import spamassassin /etc/spamassassin/local.cf"]
    assert said["filterd undo --by import:spamassassin --dry-run"].startswith("3 rules would be revoked")
    assert said["filterd undo --by import:corpus-2026"].startswith("1 label revoked")
    assert said["filterd report spam message.eml"] == f"{ID} reported as spam\n"
    assert said["filterd rules list"].count("\n") == 6
