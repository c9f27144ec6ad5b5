"""The state folder and the installation's secret."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from filterd import state
from filterd.config import from_tree, load
from filterd.errors import ConfigError, StateUnavailable
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


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EIO, StateUnavailable), (errno.ENOSPC, StateUnavailable), (errno.EACCES, ConfigError)]
)
def test_secret_when_the_disk_fails_is_not_the_operators_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def fail(_path: Path) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "read_bytes", fail)

    with pytest.raises(kind, match=r"server\.secret: .*/secret cannot be read"):
        state.secret_of(_config(tmp_path))


def test_environment_of_the_trainer_is_no_setting() -> None:
    """The units of retraining name its corpora there; what is near it and unknown is still refused."""
    assert load(None, {"FILTERD_DATA": "/srv/corpora", "FILTERD_SERVER__WORKERS": "3"}).config.server.workers == 3
    with pytest.raises(ConfigError, match="unknown setting dats"):
        load(None, {"FILTERD_DATS": "/srv/corpora"})
