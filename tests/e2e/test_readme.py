"""The README is a test: every command in it is run as written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.demo.embedded import STARTUP_SECONDS, get

ROOT = Path(__file__).parent.parent.parent
NEEDS_DAEMON = "<!-- test: needs the daemon of `make run` -->\n"
BLOCK = re.compile(rf"({re.escape(NEEDS_DAEMON)})?```sh\n(.*?)```", re.DOTALL)
RUN_ELSEWHERE = {
    "make check": "this test is part of it",
    "make run": "the fixture `running`",
    "make demo": "test_demo",
}

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]


def blocks() -> list[tuple[bool, str]]:
    """(needs the daemon, commands) of every shell block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(bool(marker), commands) for marker, commands in BLOCK.findall(text)]


def environment() -> dict[str, str]:
    """What a reader has; ``tests/conftest.py`` added the programs that were unpacked aside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FILTERD_", "PYTHON", "MAKE"))}
    kept.pop("MFLAGS", None)
    return kept


def sh(commands: str) -> str:
    """What a shell prints for ``commands``, run from the top of the checkout; fails as the first failing line does."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=environment(),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """``make run`` as the README says, until the end of the module."""
    process = subprocess.Popen(["make", "run"], cwd=ROOT, env=environment(), start_new_session=True)
    try:
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            assert process.poll() is None, "make run ended"
            assert time.monotonic() < deadline, "make run did not become ready"
            try:
                get("http://127.0.0.1:9464/readyz")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


@pytest.mark.parametrize("commands", [c for needs, c in blocks() if needs])
def test_command_when_the_daemon_runs_works_as_written(commands: str, running: None) -> None:
    printed = sh(commands)

    assert "Traceback" not in printed
    if "swaks" in commands:
        assert "<-  250 2.0.0" in printed, printed


@pytest.mark.parametrize(
    "commands", [c for needs, c in blocks() if not needs and c.strip() not in RUN_ELSEWHERE], ids=str.strip
)
def test_command_without_a_daemon_works_as_written(commands: str) -> None:
    (ROOT / "var").mkdir(exist_ok=True)

    assert "Traceback" not in sh(commands)


def test_demo() -> None:
    printed = sh("make demo")

    rows = [line for line in printed.splitlines() if re.match(r"(smtp|twilio|vonage|telnyx|plivo|generic) ", line)]
    assert len([row for row in rows if row.startswith("smtp")]) >= 12
    assert len([row for row in rows if not row.startswith("smtp")]) >= 6
    assert all(re.search(r" (accept|tag|quarantine) ", row) for row in rows), printed
    assert "database:" in printed
    assert "filterd_messages_total{" in printed
    assert re.search(r"web page: http://127\.0\.0\.1:\d+/sign-in/once/\S{43}\n", printed)


def test_make_targets_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in set(re.findall(r"`?make ([a-z-]+)", text)):
        assert re.search(rf"(?m)^{target}:", makefile), target
