"""The log as a file that several processes write to."""

from __future__ import annotations

import io
import sys

import pytest

from filterd import log


class Recorder(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_line_is_one_write_so_that_processes_do_not_get_into_each_others_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(sys, "stderr", recorder)
    log.configure("json", "info", worker="w0")

    log.Events(log.get_logger(), log.AddressMask(b"key")).scan_state("down")

    (line,) = recorder.writes
    assert line.endswith("}\n")
