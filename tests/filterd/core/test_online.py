"""One report moves the learner, neither far nor for long; what it reads is what the extractor reads."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.online import BUCKETS, VIEWS, OnlineConfig, OnlineWeights, Views, grams, views_of
from filterd.core.tokens import DEFAULT_HASHING, Extractor

OFFER = b"From: Shop <shop@example.com>\r\nSubject: cheap pills\r\n\r\nBuy cheap pills today, best price for you\r\n"
NOTE = b"From: Ann <ann@example.org>\r\nSubject: lunch\r\n\r\nShall we meet for lunch at the garden tomorrow\r\n"


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(Channel.EMAIL, DEFAULT_HASHING[Channel.EMAIL], ParseLimits())


def read(extractor: Extractor, raw: bytes) -> Views:
    return views_of(raw, extractor(raw))


def test_score_when_nothing_was_learned_then_it_is_the_offset(extractor):
    assert OnlineWeights().score(read(extractor, OFFER), offset=1.5) == 1.5


def test_learn_when_a_spam_is_reported_then_it_and_its_like_score_higher_and_ham_does_not(extractor):
    learner = OnlineWeights()

    assert learner.learn(read(extractor, OFFER), is_spam=True)
    assert learner.learn(read(extractor, NOTE), is_spam=False)

    alike = OFFER.replace(b"today", b"this week")
    assert learner.score(read(extractor, OFFER)) > 1
    assert learner.score(read(extractor, alike)) > 1
    assert learner.score(read(extractor, NOTE)) < -1


def test_learn_when_a_bundle_misses_a_spam_then_one_report_corrects_it(extractor):
    learner = OnlineWeights(OnlineConfig(largest_step=6.0))
    views = read(extractor, OFFER)

    learner.learn(views, is_spam=True, offset=-3.0)

    assert learner.score(views, offset=-3.0) > 0
    assert learner.score(read(extractor, NOTE), offset=-3.0) < 0


def test_learn_when_the_label_was_sure_already_then_nothing_moves(extractor):
    learner = OnlineWeights()
    views = read(extractor, OFFER)

    moved = learner.learn(views, is_spam=True, offset=5.0)

    assert not moved
    assert not learner.weights.any()


@given(limit=st.floats(0.1, 3), is_spam=st.booleans(), offset=st.floats(-8, 8), seed=st.integers(0, 99))
def test_learn_when_any_report_comes_then_no_step_is_longer_than_the_bound(limit, is_spam, offset, seed):
    learner = OnlineWeights(OnlineConfig(largest_step=limit))
    rng = np.random.default_rng(seed)
    views = tuple(np.unique(rng.integers(0, 500, 60)).astype(np.int32) for _ in range(VIEWS))

    for _ in range(3):
        before = learner.score(views)
        learner.learn(views, is_spam=is_spam, offset=offset)
        moved = learner.score(views) - before

        assert abs(moved) <= limit + 1e-3
        assert moved == 0 or (moved > 0) == is_spam


@pytest.mark.parametrize("flipped", [0, 5], ids=["never", "every fifth"])
def test_learn_when_reports_contradict_what_was_learned_then_the_next_step_is_bounded(flipped):
    known = tuple(np.arange(400, dtype=np.int32) for _ in range(VIEWS))
    unknown = tuple(np.arange(1_000, 1_400, dtype=np.int32) for _ in range(VIEWS))
    learner = OnlineWeights()

    for turn in range(300):
        learner.learn(known, is_spam=not (flipped and turn % flipped == 0))
    learner.learn(unknown, is_spam=True)
    step = learner.score(unknown)

    # A new message alone would move the logit by rate * sqrt(400) = 14.
    assert step < 6 if flipped else step > 10


def test_learn_when_the_same_reports_come_in_the_same_order_then_the_weights_are_the_same(extractor):
    first, second = OnlineWeights(), OnlineWeights()

    for learner in (first, second):
        for raw, is_spam in ((OFFER, True), (NOTE, False), (OFFER, True)):
            learner.learn(read(extractor, raw), is_spam=is_spam)

    assert np.array_equal(first.weights, second.weights)
    assert first.weights.dtype == np.float32


def test_views_when_a_collector_adds_its_headers_then_they_are_the_same(extractor):
    marked = (
        b"X-Spam-Status: Yes\r\nReceived: from a by b; Mon, 3 Jun 2002 10:00:00 +0200\r\nList-Id: <x.y>\r\n" + OFFER
    )

    views, as_marked = read(extractor, OFFER), read(extractor, marked)

    assert all(np.array_equal(a, b) for a, b in zip(views, as_marked, strict=True))


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_views_when_any_octets_come_then_ids_are_distinct_ascending_and_in_range(raw):
    extractor = Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())

    views = views_of(raw, extractor(raw))

    assert len(views) == VIEWS
    for ids in views:
        assert ids.dtype == np.int32
        assert np.all(np.diff(ids) > 0)
        assert not len(ids) or (ids[0] >= 0 and ids[-1] < BUCKETS)


def test_grams_when_a_text_repeats_itself_then_each_gram_counts_once():
    assert np.array_equal(grams(b"abcdabcdabcd"), grams(b"abcdabcd"))
    assert len(grams(b"abcde")) == 2
    assert len(grams(b"")) == 0


def test_learner_when_noise_is_a_tenth_then_it_still_tells_the_labels_apart(extractor):
    rng = random.Random(3)
    words = {True: ("pills", "cheap", "offer", "cash"), False: ("lunch", "garden", "meeting", "thanks")}
    learner = OnlineWeights()

    for _ in range(300):
        is_spam = rng.random() < 0.5
        text = " ".join(rng.choices(words[is_spam], k=8)).encode()
        reported = is_spam if rng.random() >= 0.1 else not is_spam
        learner.learn(read(extractor, b"Subject: x\r\n\r\n" + text), is_spam=reported)

    spam = learner.score(read(extractor, b"Subject: x\r\n\r\ncheap pills offer cash cash offer pills cheap"))
    ham = learner.score(read(extractor, b"Subject: x\r\n\r\nlunch garden thanks meeting thanks lunch"))
    assert spam > 0 > ham
