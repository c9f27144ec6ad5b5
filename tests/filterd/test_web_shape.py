"""Shapes that the model reads are told in words, and nothing else is."""

from __future__ import annotations

import pytest

from filterd.core.domains import Domains
from filterd.core.explanation import LABELS, REST
from filterd.core.normalize import Normalizer
from filterd.web.catalogue import LANGUAGES, texts_of
from filterd.web.shape import NAMES, Shape, shape_of


@pytest.mark.parametrize(
    ("token", "shape"),
    [
        ("prize", None),
        ("<b>", None),
        ("<prize>", None),
        ("<d:>", None),
        ("<url>", Shape(name="url")),
        ("<amt3>", Shape(name="amt", of="3")),
        ("<n9>", Shape(name="n", of="9+")),
        ("<d:example.com>", Shape(name="d", of="example.com")),
        ("<att:pdf>", Shape(name="att", of="pdf")),
        (REST, Shape(name="rest")),
        (LABELS, Shape(name="labels")),
    ],
    ids=str,
)
def test_shape_has_a_name_and_a_word_has_none(token: str, shape: Shape | None) -> None:
    assert shape_of(token) == shape


def test_every_shape_of_a_text_is_known() -> None:
    text = "a@example.org, +44 20 7946 0958 at 10:30 on 2026-01-02: 5 % of $1,000, http://192.0.2.1/ 12 x9y8z7w6v5"

    words = Normalizer(Domains().registrable).normalize(text).split()

    shapes = [word for word in words if word.startswith("<")]

    assert len(shapes) > 6
    assert [word for word in shapes if shape_of(word) is None] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shape_is_said_in_every_language(language: str) -> None:
    texts = texts_of(language)

    assert {texts(f"shape.{name}", of="7") for name in (*NAMES, "rest", "labels")}
