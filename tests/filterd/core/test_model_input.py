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
        "ee9fc0 d78a83 fc1ec7 361876 ccb74b 54f3c6 0dd5c7 74f262 113838 4cfdeb 9ac03c ed3d56 5c6172 "
        "2e5a65 e80fc3 64f957 ce06b4 786f16 0002dd 0ad9b8 e7582a 3b719c 5b954a 594ec5"
    ),
    Channel.SMS: (
        "84fea6 63a752 1c88b0 a6f949 c53fab 16dc48 6a531e 8abcb6 aa5bb1 8c1080 323c7f f01d4a 97d41a "
        "72af29 9a19c7 14f797 00c9ab 2c4a48 fa1e86 c994de fe33d1 c6ba2b 48764a f99fb4"
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
