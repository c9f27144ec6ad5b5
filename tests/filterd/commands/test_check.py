import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from filterd.cli import build
from filterd.core.bundle import MODEL_FILE
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ConfigError
from tests.filterd.tiny_bundle import HAM_MAIL, SPAM_MAIL, SPAM_SMS, write_bundle

BOMB = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"), Channel.EMAIL, id="email-tiny")


def _check(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(build(), ["check", "--jobs", "1", *map(str, arguments)], input=stdin)


def _objects(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_check_when_given_a_folder_scores_every_file_in_order(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.eml").write_bytes(SPAM_MAIL)
    (tmp_path / "a.eml").write_bytes(HAM_MAIL)
    (tmp_path / "c.eml").write_bytes(SPAM_MAIL)
    result = _check("--json", "--bundle", bundle, tmp_path / "c.eml", tmp_path)

    rows = _objects(result)
    assert result.exit_code == 0
    assert [Path(str(row["path"])).name for row in rows] == ["c.eml", "a.eml", "2.eml", "c.eml"]
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("quarantine", "spam"),
        ("accept", "ham"),
        ("quarantine", "spam"),
        ("quarantine", "spam"),
    ]
    assert set(rows[0]) == {"path", "channel", "probability", "logit", "action", "reason", "model"}
    assert rows[0]["model"] == "email-tiny"


def test_check_when_a_message_is_unscannable_goes_on(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(BOMB)
    (tmp_path / "2").write_bytes(HAM_MAIL)
    rows = _objects(_check("--json", "--bundle", bundle, tmp_path))

    assert [(row["probability"] is None, row["action"], row["reason"]) for row in rows] == [
        (True, "quarantine", "unscannable"),
        (False, "accept", "ham"),
    ]
    assert rows[0]["model"] is None


def test_check_when_a_file_is_missing_says_so_and_exits_2(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(HAM_MAIL)
    result = _check("--json", "--bundle", bundle, tmp_path / "none", tmp_path / "1")

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"filterd: {tmp_path / 'none'}: no such file"]
    assert len(_objects(result)) == 1


def test_check_when_given_lines_scores_each_sms(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", Channel.SMS, id="sms-tiny")
    result = _check(
        "--channel", "sms", "--json", "--lines", "--bundle", bundle, "-", stdin=b"hi there\n\n" + SPAM_SMS + b"\r\n"
    )

    assert [(row["path"], row["channel"], row["action"]) for row in _objects(result)] == [
        ("-:1", "sms", "accept"),
        ("-:3", "sms", "quarantine"),
    ]


def test_check_when_not_json_prints_a_table(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(SPAM_MAIL)
    lines = _check("--bundle", bundle, tmp_path / "1").stdout.splitlines()

    assert lines[0].split() == ["p(spam)", "action", "reason", "path"]
    assert lines[1].split()[1:3] == ["quarantine", "spam"]


def test_check_when_the_policy_allows_the_author_says_so(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text('[policy]\nallow = ["eve@example.com"]\n')
    (tmp_path / "1").write_bytes(SPAM_MAIL)
    rows = _objects(_check("--json", "--config", tmp_path / "f.toml", "--bundle", bundle, tmp_path / "1"))

    assert (rows[0]["action"], rows[0]["reason"]) == ("accept", "allowed")


def test_check_when_the_bundle_cannot_serve_raises(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", Channel.EMAIL)
    (folder / MODEL_FILE).write_bytes(b"")
    (tmp_path / "1").write_bytes(HAM_MAIL)

    for path in (folder, tmp_path / "none"):
        result = _check("--bundle", path, tmp_path / "1")
        assert isinstance(result.exception, BundleError)
        assert str(path) in result.exception.detail


def test_check_when_the_configuration_is_wrong_raises(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("[polcy]\n")

    result = _check("--config", tmp_path / "f.toml", "--bundle", bundle, tmp_path)
    assert isinstance(result.exception, ConfigError)
