"""From corpora to Parquet and on to a measurement, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterd.core.envelope import Channel
from tests.filterd.tiny_bundle import write_bundle
from trainer import parquet, rows
from trainer.cli import app

from .archives import sms_folder
from .at_scale_lines import SMS, past, write_examples


def run(*arguments: str) -> str:
    """What a command prints; it must succeed."""
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_corpora_when_exported_prepared_counted_and_evaluated_then_each_step_says_what_it_did(tmp_path: Path) -> None:
    """The four commands hand on to one another; the measurement is written like every other one."""
    count = write_examples(tmp_path / "examples", 200)

    assert f"{len(count)} messages in " in run(
        "prepare", "--channel", "sms", "--messages", str(tmp_path / "examples"), "--out", str(tmp_path / "prepared")
    )
    lines = run("corpus", "stats", str(tmp_path / "prepared"), "--memory", "100MB").splitlines()
    assert lines[0].startswith("corpus\tlabel\tmessages\tdistinct")
    assert sum(int(line.split("\t")[2]) for line in lines[1:-1]) == 200
    before, after = run("corpus", "dedup", str(tmp_path / "prepared"), str(tmp_path / "once")).split(" messages, ")
    assert int(before) == 200 >= int(after.split()[0])

    options = ("--bundle", str(SMS), "--prepared", str(tmp_path / "prepared"), "--out", str(tmp_path))
    assert "| dated |" in run("evaluate", "--channel", "sms", *options)
    found = json.loads((tmp_path / "prepared-sms.json").read_text(encoding="utf-8"))
    assert sum(row["ham"] + row["spam"] for row in found["figures"]["rows"]) > 0


def test_corpora_when_exported_then_every_example_is_there(tmp_path: Path) -> None:
    """What `train` would read of the folder is what is written."""
    data = tmp_path / "data"
    data.mkdir()
    sms_folder(data)

    written = int(run("corpus", "export", "--channel", "sms", str(tmp_path / "out"), "--data", str(data)))

    assert sum(part.rows for part in parquet.parts_of(str(tmp_path / "out"))) == written > 0


def test_replay_when_given_a_past_and_two_bundles_then_needs_no_gateway(tmp_path: Path) -> None:
    """What was exported can be replayed where there is neither configuration nor store."""
    parquet.write(rows.past_tables(past(40)), str(tmp_path / "past"), rows.PAST)
    candidate = write_bundle(tmp_path / "lenient", Channel.SMS, id="sms-lenient", bias=-20.0)

    both = ("--candidate", str(candidate), "--against", str(SMS))

    text = run("replay", *both, "--past", str(tmp_path / "past"), "--json")

    assert json.loads(text)["messages"] == 39


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["replay", "--candidate", "x", "--engine", "ray"], id="replay of a store on Ray"),
        pytest.param(["evaluate", "--channel", "sms", "--prepared", "x"], id="prepared without a bundle"),
    ],
)
def test_command_when_options_do_not_go_together_then_says_so(arguments: list[str], tmp_path: Path) -> None:
    """Wrong use is exit 2, before anything is read."""
    if "--candidate" in arguments:
        arguments = ["replay", "--candidate", str(SMS), "--engine", "ray"]

    assert CliRunner().invoke(app, arguments).exit_code == 2
