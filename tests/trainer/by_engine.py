"""Prepares, evaluates and replays what is somewhere by one engine, and writes down what came of it as JSON.

``python -m tests.trainer.by_engine ENGINE WORKERS FOLDER LOCATION...`` is a process of its own: Ray leaves threads and
processes behind that end with it. A location is a folder or a place in a bucket; ``FOLDER`` has the candidate, and
gets the answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import LoadedModel
from filterd.inference.registry import packaged_models
from trainer import at_scale, parquet, rows
from trainer.config import SplitConfig
from trainer.engine_names import EngineName
from trainer.engines import Engine, find
from trainer.prepare import Split

SMS = packaged_models() / "sms"


def run(name: EngineName, workers: int, folder: Path, locations: Sequence[str]) -> list[dict[str, Any]]:
    """What came of ``examples`` and ``past`` at each location."""
    engine = find(name, workers)
    with contextlib.ExitStack() as stack:
        if name is EngineName.RAY:
            from trainer.engines.on_ray import connected  # noqa: PLC0415  # an optional extra

            stack.enter_context(connected(workers))
        return [_run(engine, location, f"{location}/prepared-{name}", folder / "candidate") for location in locations]


def _run(engine: Engine, location: str, out: str, candidate: Path) -> dict[str, Any]:
    prepared = at_scale.prepare(engine, f"{location}/examples", Channel.SMS, SplitConfig())
    parquet.write([prepared.table], out, rows.PREPARED)
    _, found = at_scale.scored(engine, out, SMS, Split.TEST)
    replayed = at_scale.replay(engine, f"{location}/past", SMS, candidate, "normal")
    tokens = hashlib.sha256(b"".join(prepared.table["tokens"].to_pylist())).hexdigest()
    return {
        "model": LoadedModel.open(SMS, ParseLimits()).spec.id,
        "clusters": prepared.corpus.clusters.tolist(),
        "splits": [split.value for split in prepared.corpus.splits],
        "ids": [example.id for example in prepared.corpus.examples],
        "tokens": tokens,
        "evaluation": found,
        "replay": msgspec.to_builtins(replayed),
    }


if __name__ == "__main__":
    which, count, where = EngineName(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    (where / f"{which}.json").write_text(json.dumps(run(which, count, where, sys.argv[4:])), encoding="utf-8")
