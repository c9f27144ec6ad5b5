"""The work that Ray's workers are timed at: reading examples as ``prepare`` does."""

from __future__ import annotations

import contextlib
import os
import time

import pyarrow as pa

from filterd.core.envelope import Channel
from trainer.at_scale import read_examples
from trainer.parquet import Part


class Timed:
    """Reads a part and says which process did, when it began and ended, and what it cost."""

    def __init__(self) -> None:
        # Linux shares a busy machine out by session (sched(7), autogroup): in one, two workers get what one does.
        with contextlib.suppress(PermissionError):
            os.setsid()

    def __call__(self, part: Part) -> pa.Table:
        began, before = time.time(), time.process_time()
        made = read_examples(part, Channel.SMS)
        row = {"began": began, "ended": time.time(), "cpu": time.process_time() - before, "rows": len(made)}
        return pa.Table.from_pylist([{**row, "worker": os.getpid()}])
