"""The evaluation page is what its measurements say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer import document
from trainer.errors import TrainerError
from trainer.measurement import Measurement, Table

DOCS = Path(__file__).parents[2] / "docs"


def found(id: str, title: str, figures: dict[str, object]) -> Measurement:
    return Measurement(
        id=id,
        title=title,
        command=f"trainer evaluate --track {id}",
        tables=(Table(columns=("corpus", "1-ROCA %"), rows=(("uci", "0.2"),)),),
        figures=figures,
        created_at="2026-11-26T10:00:00+00:00",
        commit="abc",
    )


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / document.FOLDER
    found("online-email", "Online, email", {"targets": {"7": 0.08912, "16": "2.4 x / 1.6 x"}}).write(folder)
    found("cost-email", "Cost, email", {"targets": {"19": {"emails": 1512.4, "p99_ms": 4.2}}}).write(folder)
    found("held-out-email", "Held out, email", {"plots": ["roc-email.png", "lost.png"]}).write(folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "roc-email.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_evaluation_page_when_a_measurement_changed_then_it_is_written_again() -> None:
    if not any((DOCS / document.FOLDER).glob("*.json")):
        pytest.skip("docs/evaluation holds no measurement yet; run make evaluation")

    text = (DOCS / document.PAGE).read_text(encoding="utf-8")

    assert text == document.page(DOCS), "run `trainer document`"


def test_page_when_it_is_made_then_tracks_stand_in_their_order_with_command_and_table(docs):
    text = document.page(docs)

    places = [text.index(f"## {title}") for title in ("Targets", "Held out, email", "Online, email", "Cost, email")]
    assert places == sorted(places)
    assert "`trainer evaluate --track cost-email`, 2026-11-26, commit `abc`." in text
    assert "| uci | 0.2 |" in text


def test_page_when_a_target_was_measured_then_its_row_says_so_and_leads_there(docs):
    rows = {line.split("|")[1].strip(): line for line in document.page(docs).splitlines() if line.startswith("| ")}

    assert "| 0.0891 ([online-email](#online-email)) |" in rows["7"]
    assert "2.4 x / 1.6 x" in rows["16"]
    assert "emails 1,512, p99 ms 4.2" in rows["19"]
    assert rows["20"].endswith("| not measured |")


def test_page_when_a_picture_is_there_then_it_is_shown_and_a_lost_one_is_not(docs):
    text = document.page(docs)

    assert "![roc-email](evaluation/plots/roc-email.png)" in text
    assert "lost.png" not in text


def test_page_when_every_row_is_wanted_then_the_table_holds_each_once(docs):
    rows = [line.split("|")[1].strip() for line in document.page(docs).splitlines() if line.startswith("| ")]

    for row in ("1", "2", "3", "4", "7", "8", *map(str, range(13, 21))):
        assert rows.count(row) == 1


def test_write_when_the_same_files_are_there_then_the_page_is_the_same(docs):
    first = document.write(docs).read_text(encoding="utf-8")

    assert document.write(docs).read_text(encoding="utf-8") == first


def test_page_when_nothing_was_measured_then_the_error_says_what_to_run(tmp_path):
    with pytest.raises(TrainerError, match="make evaluation"):
        document.page(tmp_path)


def test_page_when_a_file_is_cut_short_then_the_error_names_it(docs):
    path = docs / document.FOLDER / "cost-email.json"
    path.write_text(path.read_text()[:-9])

    with pytest.raises(TrainerError, match=r"cost-email\.json"):
        document.page(docs)
