"""What labels change about the model's number until the next model is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel, MessageId
from filterd.core.message import ParseLimits
from filterd.core.token_codec import hashing_key, pack
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.core.verdict import Label, Scan
from filterd.feedback_ports import LabelledInput
from filterd.inference.online import MOST, SiteWeights
from filterd.testing import POINTS

HASHING = DEFAULT_HASHING[Channel.SMS]
READ = Extractor(Channel.SMS, HASHING, ParseLimits())
OFFER = "Your prize of a new phone waits for you, claim it today on our page"
OTHER = "The meeting about the garden fence has moved to Tuesday at four"


def a_scan(text: str, logit: float = -2.0, model: str = "m1") -> Scan:
    tokens = pack(READ(text.encode()).tokens, HASHING)
    return Scan(
        probability=0.12,
        logit=logit,
        model=model,
        points=POINTS,
        calibration=Calibration(),
        tokens=tokens,
        hashing=hashing_key(HASHING),
    )


def an_example(id: int, text: str, label: Label = Label.SPAM, recipient: str = "ann@corp.example") -> LabelledInput:
    scan = a_scan(text)
    return LabelledInput(
        id=id,
        message=MessageId(f"{id:032x}"),
        channel=Channel.SMS,
        label=label,
        reporter="ann",
        given_at=datetime(2026, 1, 1, tzinfo=UTC),
        sender="x@shop.example",
        recipients=(recipient,),
        fingerprint="",
        is_for_all=False,
        model="m1",
        logit=scan.logit,
        hashing=scan.hashing,
        tokens=scan.tokens,
    )


def corrected(site: SiteWeights, text: str, recipient: str = "ann@corp.example", logit: float = -2.0) -> float:
    return site.correct(Channel.SMS, a_scan(text, logit), recipient).correction


def test_label_moves_its_own_message_and_what_shares_words_with_it_and_little_else() -> None:
    site = SiteWeights()
    site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {}, ())

    own, shared, other = (corrected(site, t) for t in (OFFER, OFFER.replace("phone", "car"), OTHER))

    assert 1.0 < own <= 2.0 + 1e-4
    assert 0.5 < shared < own
    assert abs(other) < 0.25


def test_probability_has_the_correction_in_and_the_logit_has_not() -> None:
    site = SiteWeights()
    site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {}, ())

    scan = site.correct(Channel.SMS, a_scan(OFFER), "ann@corp.example")

    assert scan.logit == -2.0
    assert scan.probability == pytest.approx(1 / (1 + 2.718281828 ** (2.0 - scan.correction)), abs=1e-6)


def test_domain_of_the_reporter_is_moved_most() -> None:
    site = SiteWeights()
    site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {}, ())

    assert 0 < corrected(site, OFFER, "bob@else.example") < corrected(site, OFFER, "eve@corp.example")


def test_c1_labels_without_worth_or_of_little_trust_move_nothing_or_less() -> None:
    full, little, none = SiteWeights(), SiteWeights(), SiteWeights()
    for site, worth in ((full, 1.0), (little, 0.3), (none, 0.0)):
        site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {1: worth}, ())

    assert corrected(none, OFFER) == 0.0
    assert 0 < corrected(little, OFFER) < corrected(full, OFFER)


def test_c1_many_labels_move_no_message_further_than_the_bound() -> None:
    site = SiteWeights()
    for id in range(1, 200):
        site.learn(Channel.SMS, "m1", [replace(an_example(id, OFFER), logit=-30.0)], {}, ())

    assert corrected(site, OFFER, logit=-30.0) == MOST


def test_correction_is_gone_with_its_model() -> None:
    site = SiteWeights()
    site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {}, ())

    newer = a_scan(OFFER, model="m2")
    assert site.correct(Channel.SMS, newer, "ann@corp.example") is newer
    assert site.learned(Channel.SMS, "m2") == ()
    site.learn(Channel.SMS, "m2", [], {}, ())
    assert corrected(site, OFFER) == 0.0


def test_same_labels_in_the_same_order_are_the_same_correction() -> None:
    examples = [an_example(n, f"{OFFER} {n}", Label.HAM if n % 3 else Label.SPAM) for n in range(1, 30)]
    once, piecewise = SiteWeights(), SiteWeights()
    once.learn(Channel.SMS, "m1", examples, {}, ())
    for example in examples:
        piecewise.learn(Channel.SMS, "m1", [example], {}, ())

    assert corrected(once, OFFER) == corrected(piecewise, OFFER)
    assert list(once.learned(Channel.SMS, "m1")) == list(range(1, 30))


def test_scan_without_its_input_is_left_alone() -> None:
    site = SiteWeights()
    site.learn(Channel.SMS, "m1", [an_example(1, OFFER)], {}, ())
    bare = replace(a_scan(OFFER), tokens=b"")

    assert site.correct(Channel.SMS, bare, "ann@corp.example") is bare


def test_what_is_common_to_unlabelled_messages_is_not_learned() -> None:
    background = [a_scan(f"{OTHER} and so on, {word}").tokens for word in "abcdefghij"]
    label = an_example(1, f"{OTHER} claim prize phone")
    careless, careful = SiteWeights(), SiteWeights()
    careless.learn(Channel.SMS, "m1", [label], {}, ())
    careful.learn(Channel.SMS, "m1", [label], {}, background)

    assert corrected(careless, OTHER) > 0.8
    assert abs(corrected(careful, OTHER)) < 0.3
    assert corrected(careful, f"{OTHER} claim prize phone") > 0.4


def test_a_site_that_only_reports_spam_keeps_its_ham_where_it_was() -> None:
    ham = [f"{OTHER} on {day} with {name}" for day in ("Monday", "Friday") for name in ("Ann", "Bob", "Eve", "Joe")]
    background = [a_scan(text).tokens for text in ham]
    site = SiteWeights()
    spam = [f"The prize number {n} waits for you at four on our page item{n}" for n in range(1, 60)]
    site.learn(Channel.SMS, "m1", [an_example(n, text) for n, text in enumerate(spam, 1)], {}, background)

    assert max(corrected(site, text) for text in ham) < 0.3
    assert corrected(site, "The prize number 99 waits for you at four on our page") > 1
