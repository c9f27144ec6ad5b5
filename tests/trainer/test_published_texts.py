"""Corpora of published systems are read with their repeats; what is missing or broken is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.errors import CorpusError
from trainer.published.config import CorpusName
from trainer.published.texts import read
from trainer.sources import imdb

from .archives import pack, sentence

REVIEWS = {
    f"{part}/{label}/{n}_8.txt": f"{label} {n}".encode()
    for part in ("train", "test")
    for label in ("pos", "neg")
    for n in (1, 2)
}


def test_read_when_comments_repeat_then_every_row_is_kept_with_its_source(tmp_path):
    rows = "label,text,source\nham,a,uci-spam-sms\n" + "spam,b,uci-youtube-spam\n" * 5
    pack(tmp_path / "sms-yt-combined.tar.xz", {"spam-dataset.csv": rows.encode()})

    found = read(CorpusName.SMS_YOUTUBE, tmp_path)

    assert found.texts == ("a", *"bbbbb")
    assert found.groups.tolist() == ["sms", *["youtube"] * 5]
    assert found.labels.tolist() == [False, *[True] * 5]


def test_read_when_reviews_have_parts_then_they_are_the_test_s(tmp_path):
    pack(tmp_path / "imdb-aclimdb.tar.xz", {"README": b"x", "imdb.vocab": b"the", **REVIEWS})

    found = read(CorpusName.IMDB, tmp_path)

    assert len(found) == 8
    assert found.is_test.sum() == 4
    assert found.labels[found.is_test].sum() == 2
    assert found.classes == ("negative", "positive")


def test_read_when_a_sample_is_asked_for_then_it_is_that_large_and_the_same_each_time(tmp_path):
    rows = "".join(f"{'spam' if n % 2 else 'ham'}\ttext {n}\n" for n in range(100))
    pack(tmp_path / "sms-uci.tar.xz", {"SMSSpamCollection": rows.encode()})

    found = read(CorpusName.SMS_UCI, tmp_path, sample=30)

    assert len(found) == 30
    assert found.texts == read(CorpusName.SMS_UCI, tmp_path, sample=30).texts


def _absent(path: Path) -> None:
    del path


def _cut(path: Path) -> None:
    rng = random.Random(1)
    pack(path, {"train/pos/1_8.txt": rng.randbytes(50_000), "SMSSpamCollection": rng.randbytes(50_000)})
    path.write_bytes(path.read_bytes()[:20_000])


def _one_class(path: Path) -> None:
    rng = random.Random(2)
    rows = "".join(f"ham\t{sentence(rng, spam=False)}\n" for _ in range(9))
    pack(path, {"SMSSpamCollection": rows.encode(), "train/pos/1_8.txt": b"x", "test/pos/1_8.txt": b"x"})


@pytest.mark.parametrize("corpus", [CorpusName.SMS_UCI, CorpusName.IMDB])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(_absent, "FILTERD_DATA", id="absent"),
        pytest.param(_cut, "cannot be read to its end", id="truncated"),
        pytest.param(_one_class, "needs both labels", id="one class"),
    ],
)
def test_read_when_the_archive_is_no_use_then_file_and_remedy_are_named(
    tmp_path: Path, corpus: CorpusName, spoil: Callable[[Path], None], words: str
):
    path = tmp_path / f"{corpus}.tar.xz"
    spoil(path)

    with pytest.raises(CorpusError, match=words) as raised:
        read(corpus, tmp_path)

    assert path.name in str(raised.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({"README": b"x"}, "holds no review", id="none"),
        pytest.param({"train/unsup/1_0.txt": b"x"}, "train/unsup/1_0.txt lies in no folder", id="no label"),
    ],
)
def test_imdb_read_when_there_are_no_labelled_reviews_then_it_is_told(tmp_path, files, words):
    with pytest.raises(CorpusError, match=words):
        list(imdb.read(pack(tmp_path / "imdb-aclimdb.tar.xz", files)))
