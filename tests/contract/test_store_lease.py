"""A lease on the store: one process has it, and it ends with that process, whatever ends it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.errors import StoreUnavailable
from filterd.store.engine import database_url
from filterd.store.lease import lease
from tests.servers import postgres

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from filterd.store.engine import database_url
from filterd.store.lease import lease
with lease(database_url(sys.argv[1], ""), sys.argv[2]) as held:
    print("held" if held else "busy", flush=True)
    if held:
        held.check()
        sys.stdin.readline()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("postgresql")


class Process:
    """Another process that asks for a lease and keeps it until it is told to end."""

    def __init__(self, url: str, name: str) -> None:
        command = [sys.executable, "-c", HOLDER, url, name]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def holder(url: str) -> Iterator[Process]:
    process = Process(url, "retrain")
    yield process
    if process.process.poll() is None:
        process.end()


def is_free(url: str, name: str = "retrain") -> bool:
    with lease(database_url(url, ""), name) as held:
        if held is not None:
            held.check()
        return held is not None


def test_lease_when_another_process_has_it_then_it_is_refused_and_free_afterwards(url, holder):
    assert holder.said == "held"
    assert not is_free(url)
    second = Process(url, "retrain")
    assert second.said == "busy"
    second.end()
    assert is_free(url, "another")

    holder.end()

    assert is_free(url)


def test_lease_when_its_process_is_killed_then_it_is_free(url, holder):
    assert not is_free(url)

    holder.kill()

    assert any(is_free(url) for _ in range(200))  # PostgreSQL notices a moment later


def test_lease_when_it_is_left_by_an_error_then_it_is_free(url):
    with pytest.raises(ZeroDivisionError), lease(database_url(url, ""), "retrain"):
        _ = 1 / 0

    assert is_free(url)


def test_lease_when_the_database_s_folder_is_missing_or_no_folder_then_it_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file"), lease(database_url(f"sqlite:///{tmp_path}/file/s.db", ""), "x"):
        pass


@pytest.mark.real
def test_lease_when_its_connection_is_cut_then_asking_says_so(postgresql):
    with lease(database_url(postgresql, ""), "retrain") as held:
        assert held is not None
        asyncio.run(postgres.cut_connections(postgresql))

        with pytest.raises(StoreUnavailable):
            held.check()
