import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.fingerprint import MIN_WORDS, distance, fingerprint
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor

SMS = Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())
TEXT = "Dear customer your parcel waits at the depot please pay the fee of $2.99 within two days to have it delivered"


def _of(text: str) -> str:
    return fingerprint(SMS(text.encode()).encoded.word_hashes)


def test_fingerprint_when_text_is_the_same_is_the_same() -> None:
    assert len(_of(TEXT)) == 16
    assert _of(TEXT) == _of(TEXT.upper().replace(" ", "  "))


def test_fingerprint_when_a_number_changes_is_the_same() -> None:
    assert _of(TEXT) == _of(TEXT.replace("2.99", "4.50"))


def test_fingerprint_when_a_word_changes_is_near() -> None:
    assert distance(_of(TEXT), _of(TEXT.replace("depot", "office"))) <= 16


def test_fingerprint_when_text_is_another_is_far() -> None:
    other = (
        "Minutes of the meeting on Monday are in the shared folder, please read them before we talk about the budget"
    )

    assert distance(_of(TEXT), _of(other)) > 20


@pytest.mark.parametrize("count", range(MIN_WORDS))
def test_fingerprint_when_words_are_few_is_empty(count: int) -> None:
    assert fingerprint(np.arange(count, dtype=np.uint64)) == ""
