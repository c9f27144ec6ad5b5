import re
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filterd.core.confusables import COMBINING, INVISIBLE, LOOK_ALIKES
from filterd.core.domains import Domains
from filterd.core.normalize import MAX_COMBINING, MAX_WORD_CHARS, Normalizer, fold

CHARACTERS = "aAbZ019.,:/@<>$%-_()[]!?#+&' \n\t\u200b\u0301\u0430\u03bf\u4e2d\ufdfa\u0130"
LINKS = ("http://", "www.", "example.com", "/x", "a@b.org", "<url>", "<n4>", "<d:example.com>", "<", ">", ":")
NUMBERS = ("$5.00", "50%", "+1 202 555 0100", "2002-10-11", "10:30", "v1agra", " ")
WORDS = ("F R E E", "v.i.a.g.r.a", "x", "p\u0430ypal", "\u4e2d" * 30, "a" * 30)
TRICKY = st.text(st.sampled_from(CHARACTERS), max_size=60)
PIECES = st.lists(st.sampled_from([*LINKS, *NUMBERS, *WORDS]), max_size=12).map("".join)


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    return Normalizer(Domains().registrable)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world !"),
        ("F R E E money", "free money"),
        ("v.i.a.g.r.a now", "viagra now"),
        ("v1agra fr33 ca$h m0ney", "viagra free cash money"),
        ("\uff26\uff32\uff25\uff25 \U0001d41b\U0001d428\U0001d425\U0001d41d", "free bold"),
        ("fr\u200be\u00ade", "free"),
        ("p\u0430yp\u0430l", "paypal"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", "\u043f\u0440\u0438\u0432\u0435\u0442"),
        ("caf\u00e9 cafe\u0301", "caf\u00e9 caf\u00e9"),
        (
            "http://user@www.shop.example.co.uk:8080/account/login?x=1",
            "<url> <d:example.co.uk> <t:uk> <urluser> account login",
        ),
        ("hxxp://bad[.]com", "<url> <d:bad.com> <t:com>"),
        ("go to paypal.com/signin.", "go to <url> <d:paypal.com> <t:com> signin"),
        ("http://192.0.2.1/x", "<url> <urlip>"),
        ("http://xn--pypal-4ve.com", "<url> <d:xn--pypal-4ve.com> <t:com> <urlidn>"),
        ("bob@mail.example.org", "<email> <d:example.org>"),
        ("call 0800 123 4567", "call <phone>"),
        ("+44 (0)20 7946 0958", "<phone>"),
        ("$1,000.00 \u00a3900 50% 10:30 on 2002-10-11 in 1234", "<amt4> <amt3> <pct> <time> on <date> in <n4>"),
        ("order a8f3k2d9e8f7a6b5", "order <id>"),
        ("!!!!!!", "!!!"),
        ("", ""),
    ],
)
def test_b12_normalize_when_text_is_dressed_up_gives_the_plain_form(
    normalizer: Normalizer, text: str, words: str
) -> None:
    assert normalizer.normalize(text) == words


@settings(max_examples=400)
@given(text=st.one_of(TRICKY, PIECES, st.text(max_size=80)))
@example(text="U.S.A. e.g. i.e.")
@example(text="\u0130\u0307 J\u030c")
def test_normalize_when_done_twice_changes_nothing(normalizer: Normalizer, text: str) -> None:
    once = normalizer.normalize(text)

    assert normalizer.normalize(once) == once


@given(text=st.one_of(TRICKY, PIECES, st.text(max_size=80)))
def test_words_are_short_and_hold_no_space(normalizer: Normalizer, text: str) -> None:
    for word in normalizer.words(fold(text).text):
        assert word
        assert word.split() == [word]
        assert len(word) <= MAX_WORD_CHARS or word.startswith(("<d:", "<t:"))


@given(texts=st.lists(st.one_of(TRICKY, PIECES), max_size=8))
def test_words_when_others_went_before_are_the_same(normalizer: Normalizer, texts: list[str]) -> None:
    small = Normalizer(normalizer._registrable, capacity=3)

    for text in texts:
        assert small.words(text) == Normalizer(normalizer._registrable).words(text)


def test_fold_when_characters_are_invisible_counts_them() -> None:
    assert fold("a\u200bb\u2060c\U000e0041").invisible == 3
    assert fold("\u2764\ufe0f \U0001f468\u200d\U0001f469").invisible == 0


def test_fold_when_words_mix_scripts_counts_them() -> None:
    assert fold("p\u0430yp\u0430l \u043f\u0440\u0438\u0432\u0435\u0442 plain").mixed_words == 1


@pytest.mark.parametrize(
    "bomb",
    [
        "a" + "\u0301\u0316" * 80_000,
        "\ufdfa" * 20_000,
        "a " * 40_000,
        "1 " * 40_000,
        "1-" * 40_000,
        "a@" * 40_000,
        "a." * 40_000,
        "http://" * 10_000,
        "<" * 60_000,
        "<d:" * 20_000,
        "\u200b" * 60_000,
        "\u4e2d" * 60_000,
        "$1" * 30_000,
        "%" * 60_000,
        "p\u0430" * 30_000,
        "(1 2) " * 10_000,
    ],
    ids=lambda bomb: ascii(bomb[:8]),
)
def test_b6_b7_normalize_when_text_grows_takes_time_in_proportion(normalizer: Normalizer, bomb: str) -> None:
    """What costs quadratic time elsewhere does not here: double the text takes at most about double the time."""

    def cost(text: str) -> float:
        started = time.process_time()
        normalizer.words(fold(text).text)
        return time.process_time() - started

    half, whole = min(cost(bomb[: len(bomb) // 2]) for _ in range(3)), min(cost(bomb) for _ in range(3))

    assert whole < max(half * 4, 0.05)


def test_b6_fold_when_combining_marks_pile_up_keeps_a_few() -> None:
    assert len(fold("a" + "\u0316" * 1_000).text) <= MAX_COMBINING + 1


def test_tables_agree_with_the_unicode_database() -> None:
    """The classes are written out; here they are derived again. A newer database may only add to them."""
    combining, invisible = re.compile(f"[{COMBINING}]"), re.compile(f"[{INVISIBLE}]")
    for code in range(0x110000):
        character = chr(code)
        if combining.match(character):
            assert unicodedata.combining(character) or unicodedata.category(character) == "Cn"
        elif unicodedata.combining(character):
            raise AssertionError(hex(code))
        folded = unicodedata.normalize("NFKC", character)
        assert invisible.match(character) or not invisible.search(folded)


def test_look_alikes_are_stable_forms_of_one_letter_each() -> None:
    sources, targets = LOOK_ALIKES

    assert len(sources) == len(targets) == len(set(sources))
    assert all(unicodedata.normalize("NFKC", c).lower() == c for c in sources)
    assert targets.isascii()
