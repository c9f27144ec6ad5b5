"""The bundles that ship with the package."""

import pytest

from filterd.core.bundle import CARD_FILE, CHECKED_FILES, MODEL_FILE, REPORT_FILE
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import packaged_models, read_spec

LARGEST_BYTES = 8_388_608
HAM_MAIL = b"""From: Ann <ann@example.org>
To: bob@example.net
Subject: Re: minutes

Hi Bob,

I read the minutes and fixed two typos. Can you look at the patch before Monday?

Ann
"""
SPAM_MAIL = b"""From: WINNER DEPT <claims8831@example.com>
Subject: YOU HAVE WON $1,000,000 CLAIM NOW!!!

Congratulations! Your e-mail address has won the lottery. Click here http://192.0.2.9/claim to claim your
FREE money now. This is not spam. Act now, limited offer, viagra and cheap pills 80% off!!!
"""
HAM_SMS = b"ok, see you at the station around six then"
SPAM_SMS = b"URGENT! You have won a 1000 cash prize. To claim call 09061701461 now. T&Cs apply, 150p per min"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    scorer, refused = Scorer.open({channel: packaged_models() / channel.value for channel in Channel}, ParseLimits())
    assert refused == {}
    return scorer


@pytest.mark.parametrize("channel", Channel)
def test_packaged_bundle_is_whole_small_and_passes_its_probes(channel: Channel) -> None:
    """Fails when the text normaliser or the features change without a new model."""
    folder = packaged_models() / channel.value
    spec = read_spec(folder)

    assert set(spec.files) == set(CHECKED_FILES)
    assert all((folder / name).is_file() for name in (CARD_FILE, REPORT_FILE))
    assert (folder / MODEL_FILE).stat().st_size <= LARGEST_BYTES
    assert spec.points["lenient"] >= spec.points["normal"] >= spec.points["strict"]
    assert LoadedModel.open(folder, ParseLimits()).weights is not None


@pytest.mark.parametrize(
    ("channel", "ham", "spam"),
    [(Channel.EMAIL, HAM_MAIL, SPAM_MAIL), (Channel.SMS, HAM_SMS, SPAM_SMS)],
    ids=["email", "sms"],
)
def test_packaged_bundle_when_the_case_is_plain_tells_spam_from_ham(
    scorer: Scorer, channel: Channel, ham: bytes, spam: bytes
) -> None:
    good, bad = scorer.scan(channel, ham), scorer.scan(channel, spam)

    assert good.probability < bad.points["strict"]
    assert bad.probability >= bad.points["strict"]
    assert bad.evidence
