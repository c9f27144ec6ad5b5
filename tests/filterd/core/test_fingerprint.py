import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.fingerprint import MIN_WORDS, fingerprint
from filterd.core.message import ParseLimits
from filterd.core.near import EXACT, NEAR_BITS, distance, is_near
from filterd.core.tokens import DEFAULT_HASHING, Extractor

SMS = Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())
TEXT = "Dear customer your parcel waits at the depot please pay the fee of $2.99 within two days to have it delivered"


def _of(text: str) -> str:
    return fingerprint(SMS(text.encode()).encoded.word_hashes)


def test_fingerprint_when_text_is_the_same_is_the_same() -> None:
    assert len(_of(TEXT)) == 64
    assert _of(TEXT) == _of(TEXT.upper().replace(" ", "  "))


def test_fingerprint_when_a_number_changes_is_the_same() -> None:
    assert _of(TEXT) == _of(TEXT.replace("2.99", "4.50"))


def test_fingerprint_when_a_word_changes_is_near() -> None:
    assert distance(_of(TEXT), _of(TEXT.replace("depot", "office"))) <= NEAR_BITS


def test_fingerprint_when_text_is_another_is_far() -> None:
    other = (
        "Minutes of the meeting on Monday are in the shared folder, please read them before we talk about the budget"
    )

    assert distance(_of(TEXT), _of(other)) > NEAR_BITS + 15


@pytest.mark.parametrize("count", [0, 1])
def test_fingerprint_of_no_words_or_one_is_empty(count: int) -> None:
    assert fingerprint(np.arange(count, dtype=np.uint64)) == ""


@pytest.mark.parametrize("count", range(2, MIN_WORDS))
def test_fingerprint_of_few_words_is_near_to_itself_only(count: int) -> None:
    words = np.arange(count, dtype=np.uint64)

    assert fingerprint(words).startswith(EXACT)
    assert is_near(fingerprint(words), fingerprint(words.copy()))
    assert not is_near(fingerprint(words), fingerprint(words[::-1].copy()))
    assert not is_near("", "")
