"""Bundles are published, promoted and rolled back from the command line."""

from __future__ import annotations

import json
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
    return [row[1] for row in rows if row[0] == "email" and row[2] == "in service"]


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
