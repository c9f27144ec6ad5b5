"""Power cuts under load: fifty here, 1,000 with ``make power-cuts``. Only root may mount a disk to cut."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.faults.disk import Disk, _remove, clear_away, disk, why_not
from tests.faults.power_cuts import play
from tests.faults.rig import Rig
from tests.servers import postgres, processes
from tests.servers.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]

_OWNER = """
import sys
from tests.faults.disk import disk
with disk() as made:
    print(made.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if os.geteuid():
        pytest.skip("only root may mount a disk")
    if reason := why_not():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)


def test_disk_after_a_cut_has_what_was_flushed_and_nothing_else() -> None:
    with disk() as made:
        flushed, written = made.folder / "flushed", made.folder / "written"
        with flushed.open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
            file.write(b" and lost")
            file.flush()
        written.write_bytes(b"lost")
        made.cut()
        with pytest.raises(OSError, match="Input/output error"):
            (made.folder / "late").write_bytes(b"lost")
        made.detach()
        made.attach()

        assert flushed.read_bytes() == b"kept"
        assert not written.exists()


@contextmanager
def _also_elsewhere(made: Disk) -> Iterator[None]:
    """Another mount namespace has the mount, too, and keeps it."""
    with subprocess.Popen(["unshare", "--mount", "cat"], stdin=subprocess.PIPE) as holder:
        try:
            while not _has_mount(holder.pid, made.folder):
                time.sleep(0.01)
            yield
            assert _has_mount(holder.pid, made.folder), "nothing kept the disk"
        finally:
            holder.kill()


def test_disk_that_another_mount_namespace_has_too_comes_back_after_a_cut() -> None:
    with disk() as made, _also_elsewhere(made):
        flushed = made.folder / "flushed"
        with flushed.open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        made.cut()
        made.detach()
        made.attach()

        assert flushed.read_bytes() == b"kept"
        (made.folder / "later").write_bytes(b"written")


def test_disk_that_another_mount_namespace_has_too_keeps_everything_without_a_cut() -> None:
    with disk() as made, _also_elsewhere(made):
        (made.folder / "written").write_bytes(b"kept")
        made.detach()
        made.attach()

        assert (made.folder / "written").read_bytes() == b"kept"


def _has_mount(pid: int, folder: Path) -> bool:
    """Whether the folder is a mount in the process's namespace, which is not this one's."""
    if Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink():
        return False
    return str(folder) in Path(f"/proc/{pid}/mounts").read_text(encoding="utf-8")


def test_disk_of_a_killed_process_is_cleared_away_by_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().decode().strip())
        try:
            clear_away()
            assert folder.is_mount(), "its owner lives"
            owner.kill()
            owner.wait()
            clear_away()
            assert not folder.parent.exists()
        finally:
            if folder.parent.exists():
                _remove(folder.parent)


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_power_cut_two_dozen_times_loses_no_acknowledged_message(name: str) -> None:
    if name == "postgresql" and postgres.find_programs() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL on this machine")
    seed = random.SystemRandom().randrange(1 << 32)
    done = play(name, 24, seed)

    assert done.faults == {}, f"seed {seed}"
    assert all(audit.counts["held"] > 0 for audit in done.audits.values()), "nothing was to be lost"


def test_power_cut_of_the_whole_daemon_loses_no_acknowledged_message() -> None:
    done = play("sqlite", 2, random.SystemRandom().randrange(1 << 32), whole)

    assert done.faults == {}
    assert done.audits["mail"].counts["held"] > 0


class Whole:
    """Supervisor, workers and scanners."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._running: AbstractContextManager[Gateway] | None = None

    def start(self) -> None:
        """Start all of it; it may not be ready yet."""
        self._running = self._rig.running(is_ready_needed=False)
        self._running.__enter__()

    def freeze(self) -> list[int]:
        """Stop all of it where it is."""
        return processes.freeze(self._rig.gateway.process.pid)

    def kill(self) -> None:
        """Kill all of it, and wait for the supervisor's end."""
        if self._running is None:
            return
        for pid in self.freeze():
            os.kill(pid, signal.SIGKILL)
        self._running.__exit__(None, None, None)
        self._running = None


@contextmanager
def whole(rig: Rig) -> Iterator[Whole]:
    """The daemon as it is installed."""
    made = Whole(rig)
    try:
        yield made
    finally:
        made.kill()
