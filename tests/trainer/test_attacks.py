"""Attacks: they never raise, repeat with their seed, leave labels alone, and do what they are named for."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits, parse_email
from filterd.core.normalize import Normalizer
from trainer.attacks import ATTACKS, Borrowed
from trainer.attacks.pages import HIDDEN
from trainer.example import Example, Label

from .archives import mail

BORROWED = Borrowed(
    good_words=tuple(f"good{chr(ord('a') + i)}" for i in range(40)),
    ham_words=("garden", "train", "dinner"),
    ham_texts=("see you at dinner", "the train is late", "thanks for the garden", "lunch < noon & coffee"),
)
NAMES = tuple(ATTACKS)
SMS_NAMES = tuple(name for name, attack in ATTACKS.items() if Channel.SMS in attack.channels)
TEXT = "Congratulations winner, claim the Special prize today at https://prizes.example/claim?now=1 or lose it"
PAGE = (
    b"From: a@example.org\r\nSubject: hello\r\nX-Odd: kept\r\n folded\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html\r\n\r\n<p>Claim your <b>prize</b> 5 &lt; 6</p><a href='https://x.example/'>here</a>\r\n"
)


def attacked(name: str, raw: bytes, channel: Channel = Channel.EMAIL, seed: int = 3) -> bytes:
    return ATTACKS[name](raw, channel, random.Random(seed), BORROWED)


def seen(raw: bytes) -> str:
    return " ".join(parse_email(raw, ParseLimits()).text.split())


def folded(text: str) -> str:
    return Normalizer(Domains().registrable).normalize(text)


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), raw=st.binary(max_size=200), channel=st.sampled_from(Channel), seed=st.integers())
def test_attack_when_the_bytes_are_odd_then_it_does_not_raise_and_repeats(name, raw, channel, seed):
    first = ATTACKS[name](raw, channel, random.Random(seed), BORROWED)

    assert first == ATTACKS[name](raw, channel, random.Random(seed), BORROWED)


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), text=st.text(max_size=120))
def test_attack_when_nothing_can_be_borrowed_then_it_does_not_raise(name, text):
    raw = mail("hello", text)

    assert ATTACKS[name](raw, Channel.EMAIL, random.Random(1))


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), body=st.text(max_size=120), is_page=st.booleans())
def test_attack_when_it_is_mail_then_it_stays_parseable_with_its_subject_and_author(name, body, is_page):
    kind = "Content-Type: text/html; charset=utf-8\r\n" if is_page else ""

    message = parse_email(attacked(name, mail("about the garden", body, kind)), ParseLimits())

    assert message.subject == "about the garden"
    assert message.author == "someone@example.org"
    assert not [signal for signal in message.signals if signal.startswith(("duplicate_", "multipart_", "no_headers"))]


@pytest.mark.parametrize("name", NAMES)
def test_attack_on_an_example_when_it_is_ham_then_label_corpus_and_date_stay(name):
    example = Example(id="1", corpus="c", channel=Channel.EMAIL, label=Label.HAM, raw=mail("a", TEXT), group="g")

    made = ATTACKS[name].on(example, random.Random(1), BORROWED)

    assert (made.label, made.corpus, made.group, made.date) == (Label.HAM, "c", "g", None)
    assert made.id != example.id


@pytest.mark.parametrize("name", [name for name in SMS_NAMES if name != "rebuilt"])
def test_attack_when_it_is_an_sms_then_the_text_is_other_text(name):
    assert attacked(name, TEXT.encode(), Channel.SMS) != TEXT.encode()


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SMS_NAMES)))
def test_attack_when_it_is_for_mail_only_then_an_sms_stays_as_it_is(name):
    assert attacked(name, TEXT.encode(), Channel.SMS) == TEXT.encode()


@pytest.mark.parametrize("name", ["typos-10", "typos-30", "leet-100", "homoglyphs-100", "spaced-30", "bidi-reversed"])
def test_attack_when_the_text_has_a_link_then_the_link_still_leads_there(name):
    assert b"https://prizes.example/claim?now=1" in attacked(name, TEXT.encode(), Channel.SMS)


@pytest.mark.parametrize("name", ["homoglyphs-100", "zero-width-words", "zero-width-characters", "bidi-marks"])
def test_attack_when_it_is_of_unicode_only_then_the_text_does_not_read_as_before(name):
    made = attacked(name, b"congratulations special winner", Channel.SMS).decode()

    assert not made.isascii()
    assert unicodedata.normalize("NFKC", made) != "congratulations special winner"


def test_leet_when_every_word_is_chosen_then_letters_are_digits():
    assert attacked("leet-100", b"Free cash at last", Channel.SMS) == b"Fr33 c45h 47 l457"


def test_bidi_reversed_when_words_are_turned_then_they_lie_backwards_behind_an_override():
    made = attacked("bidi-reversed", b"congratulations " * 40, Channel.SMS).decode()

    assert "\u202esnoitalutargnoc\u202c" in made


def test_typos_when_a_tenth_is_asked_for_then_about_a_tenth_of_the_words_differ():
    words = ["garden", "dinner", "school", "letter"] * 250

    made = attacked("typos-10", " ".join(words).encode(), Channel.SMS).decode().split()
    changed = sum(a != b for a, b in zip(made, words, strict=True))

    assert 60 < changed < 140


def test_good_words_when_thirty_are_asked_for_then_they_are_the_best_ones():
    made = attacked("good-words-30", b"claim", Channel.SMS).decode().split()

    assert tuple(made) == ("claim", *BORROWED.good_words[:30])


def test_ham_messages_when_three_are_asked_for_then_three_different_ones_follow():
    made = attacked("ham-messages-3", b"claim", Channel.SMS).decode()

    assert made.startswith("claim ")
    assert sum(text in made for text in BORROWED.ham_texts) == 3


def test_shortener_when_the_mail_has_links_then_none_of_them_is_left():
    message = parse_email(attacked("shortener", PAGE), ParseLimits())

    assert len(message.links) == 1
    assert "x.example" not in message.links[0].href


@pytest.mark.parametrize("style", HIDDEN)
def test_hidden_when_ham_is_put_in_then_a_reader_sees_the_message_first_and_the_bytes_hold_it(style):
    raw = attacked(f"hidden-{style}", PAGE)

    assert HIDDEN[style].encode() in raw
    assert seen(raw).endswith("Claim your prize 5 < 6 here")


def test_comments_when_words_are_cut_then_a_reader_sees_them_whole():
    raw = attacked("comments", PAGE)

    assert b"prize" not in raw.partition(b"\r\n\r\n")[2]
    assert seen(raw) == "Claim your prize 5 < 6 here"


def test_entities_when_letters_are_references_then_a_reader_sees_the_same():
    raw = attacked("entities", PAGE)

    assert b"Claim" not in raw
    assert seen(raw) == "Claim your prize 5 < 6 here"


def test_base64_when_it_is_decoded_then_the_text_is_there():
    raw = attacked("base64", mail("hello", TEXT))

    assert b"winner" not in raw
    assert seen(raw) == TEXT


def test_rebuilt_when_the_mail_is_a_page_then_text_link_and_other_headers_are_kept():
    raw = attacked("rebuilt", PAGE)
    message = parse_email(raw, ParseLimits())

    assert seen(raw) == "Claim your prize 5 < 6 here"
    assert [link.href for link in message.links] == ["https://x.example/"]
    assert raw.startswith(b"From: a@example.org\r\nSubject: hello\r\nX-Odd: kept\r\n folded\r\nMIME-Version: 1.0\r\n")
    assert raw.lower().count(b"\r\ncontent-type:") == 1


def test_subject_only_when_the_mail_had_text_then_none_is_left():
    assert not seen(attacked("subject-only", PAGE))


def test_image_only_when_the_mail_had_text_then_a_linked_picture_is_left():
    message = parse_email(attacked("image-only", PAGE), ParseLimits())

    assert not message.text.strip()
    assert (message.images, message.links[0].href) == (1, "https://x.example/")


def test_header_drop_when_it_is_done_then_author_subject_and_body_stay():
    raw = attacked("header-drop", PAGE)

    assert b"X-Odd" not in raw
    assert b"folded" not in raw
    assert raw.startswith(b"From: a@example.org\r\nSubject: hello\r\nMIME-Version")
    assert seen(raw) == seen(PAGE)


@pytest.mark.parametrize("name", ["zero-width-words", "zero-width-characters", "bidi-marks", "case-flips-50"])
def test_attack_when_the_normaliser_reads_it_then_it_is_undone(name):
    made = attacked(name, TEXT.encode(), Channel.SMS).decode()

    assert folded(made) == folded(TEXT)
