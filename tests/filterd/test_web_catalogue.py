"""The words of the pages: the same in every language, and every one of them used."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import filterd.web
from filterd.web.catalogue import LANGUAGES, Texts, choose, texts_of

WEB = Path(filterd.web.__file__).parent
_IN_TEMPLATE = re.compile(r"""\bt\(\s*"([a-z_.]+)"(\s*~)?""")
_IN_CODE = re.compile(r"""\btexts\(\s*f?"([a-z_.]+)""")


def fields(texts: Texts, key: str) -> set[str]:
    raw = texts._texts[key]
    forms = raw.values() if isinstance(raw, dict) else [raw]
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_every_language_has_the_keys_and_fields_of_english(language: str) -> None:
    english, other = texts_of("en"), texts_of(language)

    assert other.keys == english.keys
    for key in english.keys:  # a property
        assert fields(other, key) == fields(english, key), key


def test_every_key_of_the_pages_is_in_the_catalogue_and_the_other_way_round() -> None:
    whole: set[str] = set()
    beginnings: set[str] = set()
    for path in WEB.rglob("*"):
        pattern = {".html": _IN_TEMPLATE, ".txt": _IN_TEMPLATE, ".py": _IN_CODE}.get(path.suffix)
        if pattern is None:
            continue
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            (beginnings if match.group(1).endswith(".") else whole).add(match.group(1))
    keys = texts_of("en").keys

    assert whole <= keys
    unused = {key for key in keys - whole if not key.startswith((*beginnings, "said."))}
    assert not unused


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en", "de"),
        ("fr, en;q=0.5, de;q=0.7", "de"),
        ("de;q=0, en", "en"),
        ("*", "en"),
        ("de;q=x", "en"),
        ("," * 1000, "en"),
    ],
)
def test_language_is_the_one_the_browser_prefers(header: str, language: str) -> None:
    assert choose(header) == language


def test_text_that_depends_on_a_number_has_two_forms() -> None:
    texts = Texts("en", {"a": {"b": {"one": "{n} mail", "other": "{n} mails"}}})

    assert texts("a.b", n=1) == "1 mail"
    assert texts("a.b", n=0) == "0 mails"


def test_unknown_key_is_a_fault() -> None:
    with pytest.raises(KeyError):
        texts_of("en")("nothing.at_all")
