"""What a run found survives the way to disk and back, and reads well."""

from __future__ import annotations

import pytest

from trainer.errors import TrainerError
from trainer.measurement import Measurement, Table

FOUND = Measurement(
    id="time-sms",
    title="SMS, newest part",
    command="trainer evaluate --track time",
    text=("The newest fifth is the test.",),
    tables=(Table(columns=("corpus", "ham"), rows=(("uci", "959"),), title="Per corpus."),),
    figures={"uci": {"ham": 959}},
    seeds=(7, 11),
    created_at="2026-11-26T10:00:00+00:00",
    commit="abc",
)


def test_measurement_when_written_and_read_then_it_is_the_same(tmp_path):
    path = FOUND.write(tmp_path / "made")

    assert path.name == "time-sms.json"
    assert Measurement.read(path) == FOUND


def test_measurement_when_rendered_then_it_says_how_to_repeat_it():
    lines = FOUND.lines()

    assert lines[0] == "## SMS, newest part"
    assert "`trainer evaluate --track time`, 2026-11-26, commit `abc`; seeds 7, 11." in lines
    assert lines[-4:-1] == ["| corpus | ham |", "|---|---:|", "| uci | 959 |"]


def test_measurement_when_the_file_is_cut_short_then_the_error_names_it(tmp_path):
    path = FOUND.write(tmp_path)
    path.write_text(path.read_text()[:-20])

    with pytest.raises(TrainerError, match=r"time-sms\.json"):
        Measurement.read(path)


def test_table_when_a_row_lacks_a_cell_then_it_is_refused():
    with pytest.raises(ValueError, match="every row"):
        Table(columns=("a", "b"), rows=(("1",),))
