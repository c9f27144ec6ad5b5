"""What the network reads is what the daemon extracts, and nothing that a collector or another filter wrote."""

from __future__ import annotations

import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor, Tokens
from trainer.example import Example, Label
from trainer.features import encode, masked

from .archives import mail

_HASHING = DEFAULT_HASHING[Channel.EMAIL]
_COLLECTED = (
    "Received: from relay.example.net ([192.0.2.9]) by mx.example.org; Mon, 3 Jun 2002 10:00:01 +0200",
    "X-Spam-Status: Yes, score=9.9 required=5.0",
    "X-Spam-Flag: YES",
    "X-Barracuda-Spam-Score: 7.1",
    "X-MS-Exchange-Organization-SCL: 9",
    "List-Id: <users.lists.example.org>",
    "List-Unsubscribe: <mailto:leave@lists.example.org>",
    "X-Keywords: Junk",
    "Resent-From: someone@example.com",
    "Delivered-To: box@example.org",
    "X-Filterd-Reason: score",
    "Precedence: bulk",
)


def email(number: object, raw: bytes, corpus: str = "c") -> Example:
    return Example(id=f"{number}", corpus=corpus, channel=Channel.EMAIL, label=Label.HAM, raw=raw)


def same(left: Tokens, right: Tokens) -> bool:
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in ("tokens", "length", "wide", "side"))


@pytest.mark.parametrize("header", _COLLECTED, ids=lambda line: line.partition(":")[0])
def test_extractor_when_a_collector_s_header_is_added_then_the_input_is_the_same(header):
    extractor = Extractor(Channel.EMAIL, _HASHING, ParseLimits())
    body = "Some words of a message, long enough.\r\n" * 4
    plain, marked = mail("A subject", body), mail("A subject", body, f"{header}\r\n")
    # The size of a message is a feature of its own, so the same octets go where they are not read.
    plain = plain.replace(b"Date:", b"X-Filler: " + b"x" * (len(header) - len("X-Filler: ")) + b"\r\nDate:", 1)

    assert len(plain) == len(marked)
    assert same(extractor(plain).tokens, extractor(marked).tokens)


def test_encode_when_not_training_then_it_is_the_extractor_s_output():
    raws = [mail(f"s{i}", f"hello http://shop{i}.example.com/ words {i}") for i in range(7)]
    extractor = Extractor(Channel.EMAIL, _HASHING, ParseLimits())

    encoded = encode([email(i, raw) for i, raw in enumerate(raws)], _HASHING).encoded

    assert all(same(encoded.tokens_of(i), extractor(raw).tokens) for i, raw in enumerate(raws))


def test_encode_when_a_message_is_unscannable_then_its_position_is_told_and_the_rest_stands():
    bomb = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 1200

    read = encode([email(0, mail("a", "b")), email(1, bomb), email(2, mail("c", "d"))], _HASHING)

    assert read.unscannable == (1,)
    assert len(read.encoded) == 3


def test_masked_when_a_message_names_domains_then_each_is_replaced_alike_and_facts_are_gone():
    raw = mail("s", "see http://shop.example.com/a and http://shop.example.com/b and http://other.example.net/")
    features = Extractor(Channel.EMAIL, _HASHING, ParseLimits())(raw).features

    result = masked(features, email(1, raw))
    words = [w for w in (*result.head, *result.body, *result.tail) if w.startswith("<d:")]
    before = [w for w in (*features.head, *features.body, *features.tail) if w.startswith("<d:")]

    assert result.facts == ()
    assert not set(words) & set(before)
    assert len(set(words)) == len(set(before))
    assert len(words) == len(before)


def test_encode_when_a_corpus_invents_its_domains_then_they_are_masked_even_in_the_test():
    raw = mail("s", "see http://shop.example.com/a")

    left = encode([email(1, raw, "templates-ham")], _HASHING).encoded
    right = encode([email(1, raw, "spamassassin")], _HASHING).encoded

    assert not np.array_equal(left.tokens, right.tokens)


def test_feeds_when_messages_are_batched_then_padding_is_zero_and_rows_are_theirs():
    encoded = encode([email(i, mail("s", "word " * n)) for i, n in enumerate((1, 30, 60))], _HASHING).encoded

    feeds = encoded.feeds(np.array([2, 0], np.int64))

    assert feeds["tokens"].shape[1] in (64, 128)
    assert feeds["length"].tolist() == encoded.lengths()[[2, 0]].tolist()
    assert not feeds["tokens"][1, feeds["length"][1] :].any()
    assert np.array_equal(feeds["tokens"][1, : feeds["length"][1]], encoded.tokens_of(0).tokens[: feeds["length"][1]])
