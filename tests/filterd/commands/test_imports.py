"""``filterd import``, from the command line to the database and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from filterd.cli import build
from filterd.clock import SystemClock
from filterd.core.envelope import Channel
from filterd.errors import NotFound, UsageError
from filterd.feedback_ports import LabelledInput
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from tests.filterd.tiny_bundle import HAM_MAIL, SPAM_MAIL, write_bundle

ANN = "ann@example.net"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("import")
    bundle = write_bundle(root / "bundle", Channel.EMAIL)
    path = root / "filterd.toml"
    path.write_text(f'[server]\nstate_dir = "{root / "state"}"\n[models]\nemail = "{bundle}"\n', encoding="utf-8")
    return path


def _run(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(build(), [*map(str, arguments), "--config", str(config)], catch_exceptions=False)


def _learned(config: Path) -> Sequence[LabelledInput]:
    async def read() -> Sequence[LabelledInput]:
        async with SqlStore(database_url("", str(config.parent / "state")), clock=SystemClock()) as store:
            return await store.labelled_inputs(Channel.EMAIL)

    return asyncio.run(read())


def test_maildir_is_learned_once_and_taken_back_by_the_line_it_prints(config: Path, tmp_path: Path) -> None:
    """Rehearsed, imported, imported again, undone."""
    folder = tmp_path / ".Junk"
    for name, raw in (("cur/1:2,S", SPAM_MAIL), ("new/2", HAM_MAIL)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(raw)
    line = ("import", "maildir", folder, "--label", "spam", "--for", ANN)

    rehearsed = _run(config, *line, "--dry-run").stdout
    assert (rehearsed.splitlines()[0], _learned(config)) == ("2 would be imported as spam, 0 known already", ())
    first = _run(config, *line).stdout.splitlines()
    assert first == [
        "2 imported as spam, 0 known already",
        "the model in service calls 1 of 2 so by itself",
        f"undo: filterd undo --by import:{ANN}",
    ]
    assert _run(config, *line).stdout.splitlines()[0] == "0 imported as spam, 2 known already"
    assert [each.recipients for each in _learned(config)] == [(ANN,), (ANN,)]

    assert _run(config, *first[-1].split()[2:]).stdout.startswith("2 labels revoked")
    assert _learned(config) == ()


def test_lists_of_spamassassin_hold_until_they_are_taken_back(config: Path, tmp_path: Path) -> None:
    """Rules of the book like any other; what cannot be said is listed with its line."""
    path = tmp_path / "local.cf"
    path.write_text("required_score 5\nwelcomelist_from ann@friends.example\nblocklist_from *bad.example\n")

    rehearsed = _run(config, "import", "spamassassin", path, "--dry-run").stdout
    assert "  allow ann@friends.example\n" in rehearsed
    assert _run(config, "rules", "list").stdout.count("\n") == 1
    done = _run(config, "import", "spamassassin", path).stdout.splitlines()
    assert done[0] == f"{path}: 1 rules, 0 hold already, 1 skipped"
    assert done[1] == f"  skipped {path}:3: blocklist_from *bad.example: a pattern that no entry can say"
    assert done[2].startswith("  hint: required_score 5")
    assert "allow ann@friends.example" in _run(config, "rules", "list").stdout
    assert "0 rules, 1 hold already" in _run(config, "import", "spamassassin", path).stdout

    assert _run(config, *done[-1].split()[2:]).stdout.startswith("1 rule revoked")
    assert _run(config, "rules", "list").stdout.count("\n") == 1


def test_bogofilter_has_hints_and_no_mail(tmp_path: Path) -> None:
    """A table of word counts is no training mail, and the command says what to import instead."""
    path = tmp_path / "bogofilter.cf"
    path.write_text("spam_cutoff = 0.99\n")
    said = CliRunner().invoke(build(), ["import", "bogofilter", str(path)]).stdout

    assert "hint: spam_cutoff 0.99" in said
    assert "filterd import maildir FOLDER --label spam" in said
    refused = CliRunner().invoke(build(), ["import", "bogofilter", "wordlist.db"])
    assert isinstance(refused.exception, UsageError)


def test_file_that_is_not_there_is_named(config: Path) -> None:
    """One line, no traceback."""
    for line in (["maildir", "/missing", "--label", "ham"], ["spamassassin", "/missing"]):
        done = CliRunner().invoke(build(), ["import", *line, "--config", str(config)])
        assert isinstance(done.exception, NotFound)
        assert "/missing" in done.exception.detail
