"""What a model is fed is part of the contract with every model trained before: a speed-up may not change it.

The digests were made by the code as it was before its path was made fast. Where one has to change, so has
``NORMALIZER_VERSION``, and every model must be trained again.
"""

from __future__ import annotations

import hashlib

import pytest

from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.fingerprint import fingerprint
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from tests.filterd import composed

_MAILS = 24
_GOLDEN = {
    Channel.EMAIL: (
        "b361c2 05c0d9 2b46aa c2a7c1 49150b f6aa5d 882ddf 081f67 94ad03 89dbd1 e44285 704310 ab27a3 "
        "84ab22 073d6b 16d2fd 267e77 25ff8a 7cf6d1 270ffa 1f86f8 23ebdd 5b3d3f 97cda7"
    ),
    Channel.SMS: (
        "a3e4b7 7993eb fcbc78 5a3cda d81cd4 29bace ac221f 0919fa fa2a65 b938a3 7c8473 fc55f7 ddac85 "
        "ad09ac 694c62 04d74b cd6cfb b039a4 1c54a9 1454d1 c6477d 5dc7a4 d1212c abe043"
    ),
}


def _digest(extractor: Extractor, raw: bytes) -> str:
    found = extractor(raw)
    features, tokens = found.features, found.tokens
    facts = (features.head, features.body, features.tail, features.facts, found.encoded.words, tokens.length)
    signals = (found.message.author, found.message.signals) if found.message else ()
    arrays = (tokens.tokens, tokens.wide, tokens.side, found.encoded.word_ids, found.encoded.word_hashes)
    text = repr((facts, signals, fingerprint(found.encoded.word_hashes))).encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"".join([text, *(array.tobytes() for array in arrays)])).hexdigest()[:6]


def digests(channel: Channel) -> str:
    """One digest per composed message, six hex digits each."""
    extractor = Extractor(channel, DEFAULT_HASHING[channel], ParseLimits(), Domains())
    compose = composed.mail if channel is Channel.EMAIL else composed.sms
    return " ".join(_digest(extractor, compose(seed)) for seed in range(_MAILS))


@pytest.mark.parametrize("channel", list(Channel))
def test_extract_gives_what_it_gave_before_it_was_fast(channel: Channel) -> None:
    assert digests(channel) == _GOLDEN[channel]
