"""The daemon installs and runs from its own lock: no TensorFlow, no ONNX tools, no trainer dependency."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING_ONLY = {"tensorflow", "tensorflow_cpu", "keras", "tf2onnx", "onnx", "rensa", "matplotlib", "pytest"}

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of a new environment with ``requirements/daemon.lock`` and the built package in it."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    _run(sys.executable, "-m", "venv", str(folder))
    pip = (str(folder / "bin/python"), "-m", "pip", "-qq", "--disable-pip-version-check", "install")
    _run(*pip, "--require-hashes", "-r", str(ROOT / "requirements/daemon.lock"))
    _run(*pip, "--no-deps", str(ROOT))
    return folder / "bin/python"


def _run(*command: str, cwd: Path | None = None, text: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_environment_holds_nothing_of_the_trainer(python: Path) -> None:
    code = "import importlib.metadata as m; print('\\n'.join(d.name for d in m.distributions()))"
    installed = {name.lower().replace("-", "_") for name in _run(str(python), "-P", "-c", code).split()}

    assert "onnxruntime" in installed
    assert not installed & TRAINING_ONLY


def test_daemon_imports_and_loads_nothing_of_the_trainer(python: Path, tmp_path: Path) -> None:
    code = "import filterd.worker, sys; print('\\n'.join(sys.modules), filterd.__file__)"
    printed = _run(str(python), "-P", "-c", code, cwd=tmp_path).split()

    assert printed[-1].startswith(str(python.parents[1]))
    assert not {name.partition(".")[0] for name in printed} & {*TRAINING_ONLY, "trainer"}


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_check_scores_a_message_with_the_models_in_the_package(python: Path, tmp_path: Path, channel: str) -> None:
    command = (str(python.parent / "filterd"), "check", "--json", "--channel", channel, "-")
    message = "Subject: hello\r\n\r\nsee you at noon\r\n" if channel == "email" else "see you at noon"
    scored = json.loads(_run(*command, cwd=tmp_path, text=message))

    assert 0 <= scored["probability"] <= 1
    assert scored["model"].startswith(f"{channel}-")
    assert {"path", "channel", "probability", "logit", "action", "reason", "model"} <= scored.keys()


def test_check_of_the_configuration_works_without_any(python: Path, tmp_path: Path) -> None:
    printed = _run(str(python.parent / "filterd"), "config", "defaults", cwd=tmp_path)

    assert printed == (ROOT / "deploy/etc/filterd.toml").read_text(encoding="utf-8")
