"""How the tree is kept: file lengths, names, forbidden imports, nothing of one machine, locks with hashes."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 400
LONGEST_TEST_FILE = 700
"""One module's tests stay together."""
LONGEST_FUNCTION = 60
LONG_FILES = {
    "tests/contract/test_store.py": "the whole contract of the store's ports, played on every database",
}
"""Path -> why it is longer than ``LONGEST_FILE`` lines."""
LONG_FUNCTIONS = {
    "filterd/bootstrap.py:build_worker": "wiring is written out by hand, top to bottom",
    "filterd/metrics.py:__init__": "a list of series reads better in one place",
}
"""``path:function`` -> why it is longer than ``LONGEST_FUNCTION`` lines."""
NO_NAMES = {"utils", "helpers", "common", "misc", "base", "util", "helper"}
ONE_HOME = {
    "aiosmtpd": ("filterd/edges/smtp",),
    "onnxruntime": ("filterd/inference/loaded.py", "trainer/export.py", "trainer/published/served.py"),
    "sqlalchemy": ("filterd/store/",),
    "alembic": ("filterd/store/",),
    "fastapi": ("filterd/web/", "filterd/edges/webhooks/"),
    "starlette": ("filterd/web/", "filterd/edges/webhooks/", "filterd/edges/rspamd.py", "filterd/bootstrap_web.py"),
    "uvicorn": ("filterd/http_server.py",),
    "prometheus_client": ("filterd/metrics.py", "filterd/admin.py", "filterd/bootstrap.py", "filterd/parent.py"),
    "tensorflow": ("trainer/",),
    "obstore": ("trainer/stores.py",),
    "ray": ("trainer/engines/on_ray.py",),
    "duckdb": ("trainer/counting.py",),
}
"""Library -> the only places that may import it."""
UNSAFE = {"pickle", "joblib", "shelve", "marshal", "dill"}
MACHINE = re.compile(
    rb"(?<![\w.}/])/(?:home|root|work|Users)/[a-z.]|/site-packages/|(?:https?:)?//[a-z0-9.-]*(?:registry|pypi|files)\."
)
"""Paths of one machine, and addresses of package registries."""


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


TRACKED = _tracked()
SOURCES = [path for path in TRACKED if path.suffix == ".py"]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_source_files_are_short() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    caps = {name: LONGEST_TEST_FILE if name.startswith("tests/") else LONGEST_FILE for name in lengths}
    long = {name: length for name, length in lengths.items() if length > caps[name] and name not in LONG_FILES}

    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{_name(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        if not _name(path).startswith("tests/") and "/migrations/" not in _name(path)
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    }

    assert {name: length for name, length in long.items() if name not in LONG_FUNCTIONS} == {}


def test_modules_are_named_after_what_they_hold() -> None:
    assert [_name(path) for path in SOURCES if path.stem in NO_NAMES] == []


@cache
def _imports(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return frozenset(name.partition(".")[0] for name in names)


def test_library_is_imported_in_its_home_only() -> None:
    strays = [
        f"{library} in {_name(path)}"
        for path in SOURCES
        if _name(path).startswith(("filterd/", "trainer/"))
        for library in _imports(path) & ONE_HOME.keys()
        if not _name(path).startswith(ONE_HOME[library])
    ]

    assert strays == []


def test_nothing_is_loaded_that_could_run_code() -> None:
    assert [_name(path) for path in SOURCES if _imports(path) & UNSAFE] == []


def test_tracked_files_name_no_machine_and_no_registry() -> None:
    binary = {".onnx", ".png", ".gz", ".xz", ".parquet"}
    found = [
        f"{_name(path)}: {match.group().decode()}"
        for path in TRACKED
        if path.suffix not in binary and path != Path(__file__)
        for match in MACHINE.finditer(path.read_bytes())
    ]

    assert found == []


@pytest.mark.parametrize("lock", ["daemon", "gateway", "trainer", "deploy", "all"])
def test_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / f"requirements/{lock}.lock").read_text(encoding="utf-8")
    pins = re.findall(r"(?m)^\S+==\S+", text)

    assert pins
    assert all(re.search(rf"(?m)^{re.escape(pin)}.*\\\n\s+--hash=sha256:", text) for pin in pins)
    assert "://" not in text
    assert "index-url" not in text


def test_daemon_lock_holds_nothing_of_the_trainer() -> None:
    text = (ROOT / "requirements/daemon.lock").read_text(encoding="utf-8")

    assert not re.search(r"(?m)^(tensorflow(-cpu)?|keras|tf2onnx|onnx|matplotlib|ray|pyarrow|duckdb)==", text)


def test_daemon_lock_agrees_with_the_full_one() -> None:
    daemon = set(re.findall(r"(?m)^\S+==\S+", (ROOT / "requirements/daemon.lock").read_text(encoding="utf-8")))
    everything = set(re.findall(r"(?m)^\S+==\S+", (ROOT / "requirements/all.lock").read_text(encoding="utf-8")))

    assert daemon <= everything
