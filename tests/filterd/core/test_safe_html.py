"""HTML from strangers comes out as text in harmless elements, whatever it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from filterd.core.safe_html import ATTRIBUTES, ELEMENTS, MAX_CHARS, MAX_DEPTH, safe_html
from filterd.errors import Unscannable
from tests.hostile.markup import strangers

MOST = 524_288


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("<p>One <b>two</b><br>three</p>", "<p>One <b>two</b><br>three</p>"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<p>a<script>alert(1)</script>b<style>p{}</style>c</p>", "<p>abc</p>"),
        ("<p>a<svg><a href=x>b</a></svg>c</p>", "<p>ac</p>"),
        ("<p>a<blink>b</blink>c</p>", "<p>abc</p>"),
        ("<p onclick=x style='color:red' id=y class=z>a</p>", "<p>a</p>"),
        ("<p dir=RTL>a</p>", '<p dir="rtl">a</p>'),
        ("<p>a<!--b-->c</p>", "<p>ac</p>"),
        ("<p><img src=x alt='a <b> \"c\"'></p>", '<p><span class="image">a &lt;b&gt; "c"</span></p>'),
        (
            "<p><a href=' https://a.example/?b&amp;c=\"d '>e</a></p>",
            '<p><span class="link" title="https://a.example/?b&amp;c=&quot;d">e</span></p>',
        ),
        ("<p><a name=x>e</a></p>", "<p><span>e</span></p>"),
    ],
)
def test_safe_html_keeps_the_text_and_its_structure(source: str, written: str) -> None:
    assert safe_html(source, MOST).replace("\n", "") == f"<div>{written}</div>"


def test_safe_html_keeps_spans_of_cells_that_are_numbers() -> None:
    row = "<table><tr><td colspan=3 rowspan='x'>a<td colspan=99999 rowspan=1>b<td colspan=900>c</table>"

    assert '<td colspan="3">' in safe_html(row, MOST)
    assert '<td colspan="100">' in safe_html(row, MOST)
    assert "99999" not in safe_html(row, MOST)
    assert "rowspan" not in safe_html(row, MOST)


def test_safe_html_loses_no_text_of_what_is_too_deep() -> None:
    for depth in (MAX_DEPTH + 1, 10_000):
        written = safe_html("<i>" * depth + "deep" + "</i>" * depth, MOST)

        assert "deep" in written
        assert written.count("<i>") <= MAX_DEPTH
        assert strangers(written) == []


@pytest.mark.slow
def test_b5_safe_html_is_capped_and_still_closed() -> None:
    written = safe_html("<p><b>" + "&" * MOST, MOST)
    many = safe_html("<table>" + "<tr><td>" * 60_000, MOST)

    for text in (written, many):
        assert len(text) <= MAX_CHARS + 10_000
        assert strangers(text) == []
        assert text.count("<b>") == text.count("</b>")
        assert text.count("<td>") == text.count("</td>")


def test_b5_safe_html_refuses_what_is_not_parsed() -> None:
    with pytest.raises(Unscannable):
        safe_html("<p>" * 200_001, 10_000_000)


def test_b6_safe_html_shows_what_turns_text_round() -> None:
    assert "\u202e" not in safe_html("<p>\u202etxt.exe</p>", MOST)
    assert "\u202e" not in safe_html("<a href='https://a.example/\u202etxt.exe'>a</a>", MOST)


_MARKUP = """
< > </ /> <! --> <!-- & &lt; &#60; " ' = ` <p> </p> <b> <a href= <img src= <svg> <math> <style> </style> <script>
</script> <title> <textarea> <noscript> </noscript> <template> <table> <td> <mtext> <mglyph> <annotation-xml> <![CDATA[
]]> <xmp> <iframe srcdoc= <plaintext> <base href= <meta <link <form action= onerror=alert(1) style=background:url(x)
javascript:alert(1) https://canary.invalid/x
"""
_PIECES = st.sampled_from([*_MARKUP.split(), "\0", "\n", " ", "\u202e", "\ud800"])


@given(st.one_of(st.text(), st.lists(_PIECES | st.text(max_size=3), max_size=40).map("".join)))
def test_safe_html_whatever_comes_is_elements_of_the_list(source: str) -> None:
    written = safe_html(source, MOST)

    assert strangers(written) == []
    again = safe_html(written, MOST)
    assert strangers(again) == []


def test_strangers_are_noticed() -> None:
    assert strangers("<p>a</p>") == []
    assert strangers("<p onclick=x>a</p><svg></svg><a href=x>b</a><!--x-->") != []
    for name in ("script", "style", "img", "a", "svg", "math", "iframe", "form", "meta", "base"):
        assert name not in ELEMENTS.values()
    assert not {"href", "src", "style", "id"} & ATTRIBUTES
    assert etree.LIBXML_VERSION
