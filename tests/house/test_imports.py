"""Who may import whom: the contracts in ``pyproject.toml``, and what a fresh interpreter really loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAINING_ONLY = ("trainer", "tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "ray", "pyarrow", "duckdb")


def test_import_contracts_are_kept() -> None:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2_000:]


def test_daemon_when_imported_loads_nothing_of_the_trainer() -> None:
    code = "import filterd.worker, filterd.cli, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}

    assert not loaded & set(TRAINING_ONLY)


def test_help_when_asked_for_loads_no_heavy_library() -> None:
    code = "import filterd.cli, sys; filterd.cli.build(); print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}

    assert not loaded & {"sqlalchemy", "onnxruntime", "fastapi", "uvicorn", "numpy", "lxml", "aiosmtpd"}
