"""Ray's workers find what one process finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from tests.filterd.tiny_bundle import write_bundle
from tests.servers import s3
from tests.trainer.by_engine import run
from trainer import parquet, rows
from trainer.engine_names import EngineName

from .at_scale_lines import past, write_examples

COUNT = 240
_SECONDS = 400


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(_SECONDS + 60)
def test_ray_when_two_workers_prepare_evaluate_and_replay_then_all_of_it_is_as_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder and in S3: clusters, splits, tokens, the evaluation's JSON, and the replay's rows in their order."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 60)
    write_bundle(tmp_path / "candidate", Channel.SMS, id="sms-lenient", bias=-20.0)
    with s3.running(tmp_path / "log") as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        locations = (str(tmp_path / "here"), f"s3://{s3.BUCKET}/there")
        for location in locations:
            write_examples(f"{location}/examples", COUNT)
            parquet.write(rows.past_tables(past(COUNT)), f"{location}/past", rows.PAST)
        (expected,) = run(EngineName.IN_PROCESS, 1, tmp_path, locations[:1])

        command = [sys.executable, "-m", "tests.trainer.by_engine", EngineName.RAY, "2", str(tmp_path), *locations]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / f"{EngineName.RAY}.json").read_text(encoding="utf-8"))
    assert found == [json.loads(json.dumps(expected))] * len(locations)
    assert len(set(expected["clusters"])) < COUNT
    assert expected["replay"]["changes"]
