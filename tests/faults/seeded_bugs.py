"""Tests the tests: puts a known bug into a copy of the tree and demands that the suite turns red.

    python -m tests.faults.seeded_bugs            all of them
    python -m tests.faults.seeded_bugs --only 3   one

A bug is a text and what takes its place; a text that is not found exactly once ends the run, because the code has
moved on. Each bug is shown to the part of the suite that must see it, which has to be green without it first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TESTS_FAILED = 1
"""pytest's exit code; everything else above it means that the tests did not run."""
_CUTS = "tests/faults/test_power_cuts.py::test_power_cut_two_dozen_times_loses_no_acknowledged_message"
_POINTS = "tests/faults/test_failpoints.py::test_message_is_neither_lost_nor_doubled_without_need"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One way to lose or spoil mail."""

    name: str
    path: str
    text: str
    wrong: str
    tests: tuple[str, ...]
    is_for_root: bool = False
    """Whether only root can run the tests."""


BUGS = (
    Bug(
        name="synchronous=NORMAL",
        path="filterd/store/engine.py",
        text='"PRAGMA synchronous=FULL",',
        wrong='"PRAGMA synchronous=NORMAL",',
        tests=("tests/filterd/test_store_engine.py::test_every_connection_flushes_its_commits",),
    ),
    Bug(
        name="250 before the commit",
        path="filterd/store/writer.py",
        text="                result: T = await item.done",
        wrong="                result: T = item.done  # type: ignore[assignment]",
        tests=(f"{_POINTS}[sqlite-kill-store.written-spam]",),
    ),
    Bug(
        name="no reset after DATA",
        path="filterd/edges/smtp_session.py",
        text="        self.reset()\n        self._forwarded, self._junk = None, 0\n",
        wrong="        self._forwarded, self._junk = None, 0\n",
        tests=("tests/filterd/test_edges_smtp_protocol.py::test_i7_nothing_of_a_message_is_left_once_it_is_answered",),
    ),
    Bug(
        name="500 for an exception",
        path="filterd/edges/smtp.py",
        text="Reply(code=TEMPORARY.code, enhanced=TEMPORARY.enhanced, lines",
        wrong='Reply(code=500, enhanced="5.3.0", lines',
        tests=(f"{_POINTS}[sqlite-fail-pipeline.scanned-ham]",),
    ),
    Bug(
        name="no shield around the commit",
        path="filterd/edges/smtp_session.py",
        text="replies = await asyncio.shield(task)",
        wrong="replies = await task",
        tests=("tests/filterd/test_edges_smtp_failures.py::test_a16_client_gone_after_the_dot_changes_nothing",),
    ),
    Bug(
        name="fail-open per message",
        path="filterd/pipeline.py",
        text="            return ScanFailure.UNSCANNABLE\n",
        wrong=(
            "            self._down_since = -self.settings.scan_down_defer_seconds\n"
            "            return ScanFailure.SCAN_DOWN\n"
        ),
        tests=("tests/filterd/test_pipeline.py",),
    ),
    Bug(
        name="forged headers kept in the fail-open path",
        path="filterd/core/headers.py",
        text="    return splice(raw, lines, decision.subject_tag, settings)\n",
        wrong=(
            "    if decision.scan is None:\n"
            "        return b''.join(f'{line}\\r\\n'.encode() for line in lines) + raw\n"
            "    return splice(raw, lines, decision.subject_tag, settings)\n"
        ),
        tests=("tests/filterd/test_core_headers.py",),
    ),
    Bug(
        name="no flush of the folder on promote",
        path="filterd/inference/registry.py",
        text="        working.replace(working.with_name(POINTER_FILE))\n        _sync_folder(working.parent)\n",
        wrong="        working.replace(working.with_name(POINTER_FILE))\n",
        tests=("tests/filterd/inference/test_registry.py",),
    ),
    Bug(
        name="synchronous=NORMAL, when the power is cut",
        path="filterd/store/engine.py",
        text='"PRAGMA synchronous=FULL",',
        wrong='"PRAGMA synchronous=NORMAL",',
        tests=(f"{_CUTS}[sqlite]",),
        is_for_root=True,
    ),
    Bug(
        name="synchronous_commit=off, when the power is cut",
        path="filterd/store/engine.py",
        text='"command_timeout": timeout_seconds}',
        wrong=(
            '"command_timeout": timeout_seconds, "server_settings": {"synchronous_commit": "off"} if is_writer else {}}'
        ),
        tests=(f"{_CUTS}[postgresql]",),
        is_for_root=True,
    ),
)


def copy_of_the_tree(target: Path) -> None:
    """What git tracks and what is new beside it; the environment and the servers are linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for name in (".venv", ".servers"):
        if (ROOT / name).exists():
            (target / name).symlink_to((ROOT / name).resolve())


def run_tests(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The tests, with what they are about taken from ``tree``."""
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"]
    return subprocess.run(
        [*command, *tests],
        cwd=tree,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def seed(tree: Path, bug: Bug) -> None:
    """Put the bug into the tree."""
    path = tree / bug.path
    text = path.read_text(encoding="utf-8")
    if text.count(bug.text) != 1:
        raise SystemExit(
            f"{bug.path}: the text of the bug {bug.name!r} is there {text.count(bug.text)} times, not once"
        )
    path.write_text(text.replace(bug.text, bug.wrong), encoding="utf-8")


def is_seen(tree: Path, bug: Bug) -> bool:
    """Whether the suite turns red for the bug; the tree is as before afterwards."""
    before = (tree / bug.path).read_bytes()
    seed(tree, bug)
    try:
        done = run_tests(tree, bug.tests)
    finally:
        (tree / bug.path).write_bytes(before)
    if done.returncode > _TESTS_FAILED:
        raise SystemExit(f"{bug.name}: the tests did not run\n{done.stdout}")
    failed = [f"         {line[:150]}\n" for line in done.stdout.splitlines() if line.startswith("FAILED")]
    sys.stdout.write(f"{'seen    ' if done.returncode else 'NOT SEEN'} {bug.name}\n{''.join(failed)}")
    sys.stdout.flush()
    return done.returncode == _TESTS_FAILED


def main() -> int:
    """1 unless every bug is seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, choices=range(1, len(BUGS) + 1))
    options = parser.parse_args()
    bugs: tuple[Bug, ...] = BUGS if options.only is None else (BUGS[options.only - 1],)
    left_out = [bug for bug in bugs if bug.is_for_root and os.geteuid()]
    bugs = tuple(bug for bug in bugs if bug not in left_out)
    sys.stdout.writelines(f"left out {bug.name}: only root may cut the power\n" for bug in left_out)
    if not bugs:
        return 0
    with tempfile.TemporaryDirectory(prefix="filterd-bugs-") as folder:
        tree = Path(folder)
        copy_of_the_tree(tree)
        tests = sorted({test for bug in bugs for test in bug.tests})
        sound = run_tests(tree, tests)
        if sound.returncode:
            raise SystemExit(f"the tests fail without any bug:\n{sound.stdout}")
        seen = sum([is_seen(tree, bug) for bug in bugs])
    sys.stdout.write(f"{seen} of {len(bugs)}\n")
    return 0 if seen == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
