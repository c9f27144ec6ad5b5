"""Releases and promotions struck where they may die: neither loses the message, nor leaves a model half in place."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.failpoints import VARIABLE
from filterd.inference.registry import Registry, read_bundle
from tests.faults.forked import forking
from tests.faults.ledger import Nature
from tests.faults.letters import Letter, token_in
from tests.faults.rig import Rig, installed
from tests.filterd.tiny_bundle import write_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with installed(tmp_path_factory.mktemp("release")) as rig, forking(rig) as forks:
        forks.start()
        yield rig


def release(rig: Rig, id: str) -> int:
    """``filterd quarantine release``: its exit code."""
    environ = {**os.environ, VARIABLE: str(rig.failpoints), "FILTERD_CONFIG": str(rig.config)}
    command = [sys.executable, "-m", "filterd.cli", "quarantine", "release", id]
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode


def row(rig: Rig, letter: Letter) -> tuple[str, str]:
    """Id and state of the held letter."""
    with closing(sqlite3.connect(rig.root / "state/filterd.db", timeout=10)) as connection:
        found: tuple[str, str] = connection.execute(
            "SELECT id, state FROM held WHERE subject = ?", (letter.token,)
        ).fetchone()
    return found


@pytest.mark.invariant("I3", "I10")
@pytest.mark.parametrize(("point", "copies"), [("release.claimed", 1), ("release.sent", 2)])
def test_release_that_dies_is_done_again_when_its_lease_has_ended(rig: Rig, point: str, copies: int) -> None:
    letter = Letter(token=point, nature=Nature.SPAM)
    asyncio.run(rig.sender.deliver(letter))
    id, _ = row(rig, letter)
    rig.arm(point, "kill")

    assert release(rig, id) == -signal.SIGKILL
    assert row(rig, letter) == (id, "releasing")
    assert release(rig, id) == 2, "the lease keeps others away"
    with closing(sqlite3.connect(rig.root / "state/filterd.db", timeout=10)) as connection:
        connection.execute("UPDATE held SET lease_until = '2000-01-01 00:00:00.000000'")
        connection.commit()
    assert release(rig, id) == 0

    assert row(rig, letter) == (id, "released")
    taken = [raw for raw in rig.hop.taken if token_in(raw) == letter.token]
    assert len(taken) == copies
    assert {raw.partition(b"\r\n")[0] for raw in taken} == {taken[0].partition(b"\r\n")[0]}, "one release id"
    assert all(raw.endswith(letter.raw) for raw in taken)


_PROMOTE = """
import os, sys
from pathlib import Path
from filterd import failpoints
from filterd.core.envelope import Channel
from filterd.inference.registry import Registry
failpoints.arm(os.environ)
registry = Registry(Path(sys.argv[1]), Path("none"))
registry.promote(Channel.EMAIL, registry.publish(Path(sys.argv[2])))
"""


def promote(root: Path, source: Path) -> int:
    """Publish and promote in a process of its own; its exit code."""
    command = [sys.executable, "-c", _PROMOTE, str(root / "registry"), str(source)]
    environ = {**os.environ, VARIABLE: str(root / "failpoints")}
    return subprocess.run(command, env=environ, check=False).returncode


@pytest.mark.parametrize(
    ("point", "serving"), [("registry.copied", "old"), ("registry.drafted", "old"), ("registry.promoted", "new")]
)
def test_promotion_that_dies_leaves_one_whole_model_in_service(tmp_path: Path, point: str, serving: str) -> None:
    (tmp_path / "failpoints").mkdir()
    old = write_bundle(tmp_path / "old", Channel.EMAIL, id="old")
    new = write_bundle(tmp_path / "new", Channel.EMAIL, id="new", bias=-1.0)
    assert promote(tmp_path, old) == 0
    (tmp_path / "failpoints" / point).write_text("kill", encoding="ascii")

    assert promote(tmp_path, new) == -signal.SIGKILL

    registry = Registry(tmp_path / "registry", Path("none"))
    assert registry.current(Channel.EMAIL) == serving
    for id in registry.list(Channel.EMAIL):
        assert read_bundle(registry.folder(Channel.EMAIL, id)).spec.id == id
    assert promote(tmp_path, new) == 0
    assert registry.current(Channel.EMAIL) == "new"
    assert registry.previous(Channel.EMAIL) == "old"
