"""Private processes of programs: started here, watched, and ended by their own id when the block ends."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import TrainerError
from trainer.systems.programs import Program

_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_SAID_BYTES = 400


@contextmanager
def started(program: Program, arguments: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with pipes to its input and output; what it says goes to ``folder / NAME.log``."""
    log = folder / f"{program.path.name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603  (a program of the developer's machine)
            [str(program.path), *arguments],
            cwd=folder,
            env={**program.environment, "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    except ValueError:  # a pipe that was closed already
        process.wait()


def await_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[], bool], name: str, log: Path, *, patience_seconds: float
) -> None:
    """Return once it is ready. Raises TrainerError, with the end of its log, when it ends or takes too long."""
    until = time.monotonic() + patience_seconds
    while not is_ready():
        if process.poll() is not None:
            raise TrainerError(f"{name} ended with {process.returncode}: {tail(log)}")
        if time.monotonic() > until:
            raise TrainerError(f"{name} was not ready after {patience_seconds:.0f} s: {tail(log)}")
        time.sleep(_PAUSE_SECONDS)


def tail(log: Path) -> str:
    """The end of what a program said."""
    return log.read_bytes()[-_SAID_BYTES:].decode("utf-8", "replace").strip() if log.exists() else ""


class Lines:
    """A conversation with a process: one line there, one line back, each within a time limit."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, *, patience_seconds: float) -> None:
        self._process = process
        self._log = log
        self._patience_seconds = patience_seconds
        self._rest = b""

    def ask(self, line: str) -> str:
        """The answer to a line. Raises TrainerError when the process ends or takes too long."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as exc:
            raise TrainerError(f"{self._log.stem} has ended: {tail(self._log)}") from exc
        return self.read()

    def read(self) -> str:
        """The next line. Raises TrainerError when the process ends or takes too long."""
        assert self._process.stdout is not None
        until = time.monotonic() + self._patience_seconds
        while b"\n" not in self._rest:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise TrainerError(
                    f"{self._log.stem} gave no answer within {self._patience_seconds:.0f} s: {tail(self._log)}"
                )
            more = self._process.stdout.read1()  # type: ignore[attr-defined]  # a pipe is a BufferedReader
            if not more:
                raise TrainerError(f"{self._log.stem} ended without an answer: {tail(self._log)}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace")
