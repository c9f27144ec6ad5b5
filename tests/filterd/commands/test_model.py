"""Bundles are published, promoted and rolled back from the command line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from filterd import cli
from filterd.core.envelope import Channel
from tests.filterd.tiny_bundle import write_bundle

FIRST, SECOND = "email-20260101T000000-00000001", "email-20260102T000000-00000002"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "filterd.toml"
    path.write_text(f"[server]\nstate_dir = {json.dumps(str(tmp_path / 'state'))}\n", encoding="utf-8")
    monkeypatch.setenv("FILTERD_CONFIG", str(path))
    for id, bias in ((FIRST, -2.0), (SECOND, -3.0)):
        source = write_bundle(tmp_path / id, Channel.EMAIL, id=id, bias=bias)
        _run("model", "publish", str(source))


def _run(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["filterd", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def _in_service(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert _run("model", "list") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    return [row[1] for row in rows if row[0] == "email" and "in service" in row[2]]


def test_rollback_after_two_promotions_puts_the_first_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("model", "promote", "email", FIRST) == 0
    assert _run("model", "promote", "email", SECOND) == 0
    assert _in_service(capsys) == [SECOND]

    assert _run("model", "rollback", "email") == 0
    assert _in_service(capsys) == [FIRST]


def test_promote_when_unknown_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _run("model", "promote", "email", "nothing") == 2
    assert capsys.readouterr().err == "filterd: no bundle nothing of channel email\n"


def test_rollback_when_nothing_was_promoted_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _run("model", "rollback", "sms") == 2
    assert capsys.readouterr().err == "filterd: no bundle of channel sms was in service before\n"


def test_show_prints_the_operating_points(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _run("model", "show", "email", FIRST) == 0
    assert json.loads(capsys.readouterr().out)["points"].keys() == {"lenient", "normal", "strict"}


def test_candidate_is_put_on_trial_shown_and_taken_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("db", "upgrade") == 0
    capsys.readouterr()

    assert _run("model", "shadow", "email", FIRST, "--share", "0.2") == 0
    assert _run("model", "shadow", "email") == 0
    out = capsys.readouterr().out
    assert out.count(f"email: {FIRST} scores beside the one in service for 20% of the recipients") == 2

    assert _run("model", "shadow", "email", FIRST, "--share", "0.05", "--decide") == 0
    assert f"email: {FIRST} decides for 5% of the recipients" in capsys.readouterr().out
    assert _run("model", "shadow", "email", "--off") == 0
    assert _run("model", "shadow", "email") == 0
    assert "email: nothing is on trial" in capsys.readouterr().out


def test_changes_of_models_are_in_the_audit_trail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("db", "upgrade") == 0
    for arguments in (("promote", "email", FIRST), ("promote", "email", SECOND), ("rollback", "email")):
        assert _run("model", *arguments) == 0
    capsys.readouterr()

    with sqlite3.connect(tmp_path / "state" / "filterd.db") as database:
        rows = database.execute("SELECT event, target FROM audit ORDER BY id").fetchall()

    assert rows == [("promoted", FIRST), ("promoted", SECOND), ("rolled back to", FIRST)]


def test_rollback_after_one_promotion_serves_the_bundle_in_the_package_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = _in_service(capsys)
    assert _run("model", "promote", "email", FIRST) == 0

    assert _run("model", "rollback", "email") == 0

    assert _in_service(capsys) == before
    assert _run("model", "promote", "email", FIRST) == 0


def test_list_names_what_each_bundle_is_there_for(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("promote", "email", FIRST), ("promote", "email", SECOND), ("shadow", "email", FIRST)):
        assert _run("model", *arguments) == 0
    capsys.readouterr()

    assert _run("model", "list") == 0

    rows = [line.split("\t")[:3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert ["email", SECOND, "in service"] in rows
    assert ["email", FIRST, "on trial, previous"] in rows
    assert [row[2] for row in rows if row[0] == "sms"] == ["in service, packaged"]
