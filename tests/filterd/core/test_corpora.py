"""Real and hostile mail of other people, where it is at hand: nothing of it is kept here."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.errors import Unscannable

DATA = Path(os.environ.get("FILTERD_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


def messages(name: str) -> Iterator[tuple[str, bytes]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {DATA}; set FILTERD_TEST_DATA to the folder that holds it")
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()


def test_extract_when_mail_is_tortured_scores_it_or_says_unscannable() -> None:
    extractor = Extractor(Channel.EMAIL, DEFAULT_HASHING[Channel.EMAIL], ParseLimits())
    read, refused = 0, []
    for name, raw in messages("torture.tar.xz"):
        try:
            tokens = extractor(raw).tokens
        except Unscannable as exc:
            refused.append((name, exc.detail))
        else:
            read += 1
            assert 1 <= tokens.length <= extractor.hashing.max_tokens

    assert read > 800
    assert [detail for _, detail in refused if detail.startswith("cannot be parsed")] == []


@pytest.mark.slow
def test_extract_when_mail_is_real_reads_every_message() -> None:
    extractor = Extractor(Channel.EMAIL, DEFAULT_HASHING[Channel.EMAIL], ParseLimits())
    refused = []
    for name, raw in messages("email-spamassassin.tar.xz"):
        try:
            extractor(raw)
        except Unscannable as exc:
            refused.append((name, exc.detail))

    assert refused == []
