import pytest

from filterd.core.envelope import Channel
from filterd.core.features import EMAIL_SIDE, clean_subject
from filterd.core.message import ParseLimits
from filterd.core.sms import SMS_SIDE
from filterd.core.tokens import DEFAULT_HASHING, Extractor

EMAIL = Extractor(Channel.EMAIL, DEFAULT_HASHING[Channel.EMAIL], ParseLimits())
SMS = Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())
HTML = b"From: a@example.org\r\nContent-Type: text/html\r\n\r\n"


def _email(raw: bytes) -> dict[str, float]:
    return dict(zip(EMAIL_SIDE, map(float, EMAIL(raw).features.side), strict=True))


def _sms(text: str) -> dict[str, float]:
    return dict(zip(SMS_SIDE, map(float, SMS(text.encode()).features.side), strict=True))


def test_side_names_are_distinct() -> None:
    assert len(set(EMAIL_SIDE)) == len(EMAIL_SIDE)
    assert len(set(SMS_SIDE)) == len(SMS_SIDE)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (HTML + b"<a href='http://evil.example.com/x'>www.paypal.com</a>", "link_mismatch"),
        (HTML + b"<a href='http://192.0.2.7/x'>x</a>", "link_ip"),
        (HTML + b"<a href='http://xn--pypal-4ve.com/'>x</a>", "link_idn"),
        (HTML + b"<a href='https://bit.ly/abc'>x</a>", "link_shortener"),
        (HTML + b"<a href='https://paypal.com@192.0.2.7/'>x</a>", "link_user"),
        (HTML + b"<a href='mailto:x@y.com'>x</a>", "link_mailto"),
        (HTML + b"<a href='https://example.org/'>x</a>", "link_author_share"),
        (HTML + b"<div style='display:none'>ham words</div>buy", "html_hidden_share"),
        (HTML + b"<form action=x>", "html_forms"),
        (b"From: a@example.org\r\nReply-To: b@other.com\r\n\r\nx", "head_reply_differs"),
        (b"From: a@example.org\r\nMessage-ID: <1@other.com>\r\n\r\nx", "head_id_differs"),
        (b'From: "b@bank.com" <a@example.org>\r\n\r\nx', "head_name_address"),
        (b"Subject: x\r\n\r\nx", "head_no_author"),
        (b"From: a@example.org\r\n\r\nx", "head_no_to"),
        (b"Content-Disposition: attachment; filename=a.pdf.exe\r\n\r\nx", "att_double"),
        (b"Content-Disposition: attachment; filename=a.exe\r\n\r\nx", "att_program"),
        (b"Content-Type: text/plain; charset=hex\r\n\r\nx", "mime_charset"),
        (b"\r\n", "text_none"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\nfr\xe2\x80\x8bee", "uni_invisible"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_b12_email_side_when_a_trick_is_used_shows_it(raw: bytes, name: str) -> None:
    assert _email(raw)[name] > 0
    assert _email(b"From: a@example.org\r\nTo: b@c.net\r\nSubject: hi\r\n\r\nSee you.")[name] == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Your code is 482913", "sms_code"),
        ("482913 is your verification code", "sms_code"),
        ("Text WIN to 80086", "sms_short_code"),
        ("http://example.com/x", "sms_urls"),
        ("call 0800 123 4567", "sms_phones"),
        ("you won \u00a31000", "sms_amounts"),
    ],
)
def test_sms_side_when_a_pattern_is_there_shows_it(text: str, name: str) -> None:
    assert _sms(text)[name] > 0
    assert _sms("see you at lunch")[name] == 0


@pytest.mark.parametrize(
    ("subject", "cleaned", "is_reply"),
    [
        ("Re: [list] Fwd: Hello", "Hello", True),
        ("[SPAM] Offer", "Offer", False),
        ("*****SPAM***** Offer", "Offer", False),
        ("{Spam?} Offer", "Offer", False),
        ("RE[2]: x", "x", True),
        ("Reading list", "Reading list", False),
        ("[]" * 50, "[]" * 50, False),
    ],
)
def test_clean_subject_takes_marks_and_tags_away(subject: str, cleaned: str, *, is_reply: bool) -> None:
    assert clean_subject(subject) == (cleaned, is_reply)


def test_extract_when_a_list_left_a_footer_reads_past_it() -> None:
    raw = b"From: a@b.org\r\n\r\nbody\r\n" + b"_" * 47 + b"\r\nilug mailing list\r\nilug@example.org\r\n"

    assert EMAIL(raw).features.body == ("body",)
