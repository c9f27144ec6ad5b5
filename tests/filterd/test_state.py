"""The state folder and the installation's secret."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from filterd import state
from filterd.config import from_tree
from filterd.errors import ConfigError
from filterd.settings import Config


def _config(folder: Path, secret: str = "") -> Config:
    return from_tree({"server": {"state_dir": str(folder), "secret": secret}})


def test_secret_when_made_is_private_and_stays_the_same(tmp_path: Path) -> None:
    config = _config(tmp_path / "state")
    secret = state.secret_of(config)

    assert len(secret) == 64
    assert state.secret_of(config) == secret
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret"]
    assert (tmp_path / "state/secret").stat().st_mode & 0o777 == 0o600


def test_secret_when_several_processes_start_at_once_is_one(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: state.secret_of(config), range(32)))

    assert len(secrets) == 1


def test_secret_when_configured_needs_no_file(tmp_path: Path) -> None:
    assert state.secret_of(_config(tmp_path / "none", "given")) == b"given"
    assert not (tmp_path / "none").exists()


def test_state_folder_when_it_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"server\.state_dir: .*/file/state cannot be made"):
        state.prepare(_config(tmp_path / "file/state"))
