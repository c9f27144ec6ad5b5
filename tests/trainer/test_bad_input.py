"""What the ``trainer`` command does with bad input: exit 1, one line that says where and what to do, no bundle.

One case of each kind starts a process; bad corpora, which differ in their words only, share this one, because every
process that trains takes seconds to import TensorFlow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from tests.filterd.tiny_bundle import write_bundle
from trainer import recipe
from trainer.cli import main

from .archives import pack, sms_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),  # TensorFlow warns of its own insides
]
UCI = "sms-uci.tar.xz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return sms_folder(folder)


def refused(*arguments: str, cwd: Path) -> str:
    """The one line on stderr of a ``trainer`` command that fails as it should."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "trainer"), *arguments],
        cwd=cwd,
        env={**os.environ, "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("trainer: ")]
    assert done.stderr.splitlines()[-1] == line
    assert done.stdout == ""
    return line


def nothing_is_left(out: Path) -> bool:
    """Whether no bundle was begun."""
    return not list(out.glob("**/bundle.json")) and not list(out.glob("**/.draft-*"))


def absent(folder: Path) -> None:
    (folder / UCI).unlink()


def truncated(folder: Path) -> None:
    (folder / UCI).write_bytes((folder / UCI).read_bytes()[:-200])


def no_archive(folder: Path) -> None:
    (folder / UCI).write_text("<html>404 Not Found</html>")


def unknown_label(folder: Path) -> None:
    pack(folder / UCI, {"SMSSpamCollection": b"ham\tsee you at noon\nmaybe\tlottery winner\n"})


def swapped_columns(folder: Path) -> None:
    pack(folder / UCI, {"SMSSpamCollection": b"see you at noon\tham\nlottery winner\tspam\n"})


def missing_column(folder: Path) -> None:
    table = b"text,class\nsee you at noon,0\nlottery winner,1\n"
    pack(folder / "sms-super.tar.xz", {"DS_latest.csv": table, "DS_legacy.csv": table})


def single_label(folder: Path) -> None:
    pack(folder / UCI, {"SMSSpamCollection": b"".join(b"ham\tsee you at %d\n" % hour for hour in range(24))})


def all_repeats(folder: Path) -> None:
    pack(folder / UCI, {"SMSSpamCollection": b"ham\tsee you at noon\nspam\tlottery winner\n" * 50})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(truncated, (UCI, "cannot be read to its end", "fetch it again"), id="truncated"),
        pytest.param(no_archive, (UCI, "cannot be read to its end", "fetch it again"), id="not an archive"),
        pytest.param(
            unknown_label, (UCI, "line 2", "'maybe' is not a label, expected one of ham, spam"), id="unknown label"
        ),
        pytest.param(swapped_columns, (UCI, "line 1", "is not a label", "fetch it again"), id="wrong label column"),
        pytest.param(
            missing_column, ("sms-super.tar.xz", "no column 'SMSes', only text, class"), id="missing label column"
        ),
        pytest.param(single_label, (UCI, "holds no spam; is its label column right?"), id="single label"),
        pytest.param(all_repeats, (UCI, "its 50 ham messages are all the same"), id="all repeats"),
    ],
)
def test_train_command_when_a_corpus_is_bad_then_one_line_names_it_and_no_bundle_is_left(
    data: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(data)
    out = tmp_path / "runs"
    command = ["trainer", "train", "--channel", "sms", "--fast", "--data", str(data), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)

    with pytest.raises(SystemExit) as ended:
        main()

    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 1
    assert last.startswith("trainer: ")
    assert [each for each in words if each not in last] == []
    assert nothing_is_left(tmp_path)


def test_train_process_when_a_corpus_is_absent_then_it_ends_with_one_line_and_no_bundle(
    data: Path, tmp_path: Path
) -> None:
    absent(data)

    line = refused("train", "--channel", "sms", "--fast", "--data", str(data), "--out", "runs", cwd=tmp_path)

    assert line == (f"trainer: {data / UCI}: no such corpus; point --data or FILTERD_DATA at the folder that holds it")
    assert nothing_is_left(tmp_path)


def test_train_command_when_the_loss_is_not_a_number_then_one_line_says_so_and_no_bundle_is_left(
    data: Path, tmp_path: Path
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(f"ham_weight = 1e39\n{recipe.find('sms').path.read_text(encoding='utf-8')}", encoding="utf-8")

    line = refused("train", "--recipe", str(own), "--fast", "--data", str(data), "--out", "runs", cwd=tmp_path)

    assert "the loss is" in line
    assert "lower the learning rate" in line
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "epoch_exmples = 5\n", "unknown key epoch_exmples; the nearest known key is epoch_examples", id="key"
        ),
        pytest.param('epochs = "many"\n', "epochs is 'many', expected a whole number", id="type"),
        pytest.param("epochs = \n", "cannot be read as TOML", id="syntax"),
    ],
)
def test_train_command_when_the_recipe_is_bad_then_one_line_names_file_and_key(
    data: Path, tmp_path: Path, text: str, words: str
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(f'kind = "gateway"\nchannel = "sms"\n{text}[model]\n[split]\n', encoding="utf-8")

    line = refused("train", "--recipe", str(own), "--data", str(data), "--out", "runs", cwd=tmp_path)

    assert line.startswith(f"trainer: {own}: ")
    assert words in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["model.onnx", "probes.jsonl"])
def test_evaluate_command_when_a_file_of_the_bundle_was_changed_then_one_line_names_it(
    data: Path, tmp_path: Path, name: str
) -> None:
    folder = write_bundle(tmp_path / "bundle", Channel.SMS)
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")

    line = refused("evaluate", "--bundle", str(folder), "--channel", "sms", "--data", str(data), cwd=tmp_path)

    assert line == f"trainer: {folder / name} is not the file the bundle was published with; fetch the bundle again"


def test_predict_command_when_the_bundle_s_manifest_is_cut_short_then_one_line_names_it(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", Channel.SMS)
    spec = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    (folder / "bundle.json").write_text(json.dumps(spec)[:-30], encoding="utf-8")

    line = refused("predict", "lottery", "--bundle", str(folder), cwd=tmp_path)

    assert "bundle.json cannot be read" in line
