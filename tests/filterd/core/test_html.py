import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.html import MAX_TAGS, read_html
from filterd.errors import Unscannable

MOST = 524_288


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("html", "visible"),
    [
        ("<p>one</p><p>two</p>", "one two"),
        ("<td>a</td><td>b</td>", "a b"),
        ("fr<!-- x -->ee <b>V</b>IA<i></i>GRA", "free VIAGRA"),
        ("a<script>bad()</script>b<style>p{}</style>c", "abc"),
        ("<CUT>not</CUT> <cut>ours</cut>", "not ours"),
        ("&#102;&#114;&eacute;e&nbsp;&amp;", "fr\u00e9e &"),
        ("<img src=x alt='buy now'>", "buy now"),
        ("no markup at all", "no markup at all"),
        ("", ""),
        ("<!-- never closed", ""),
        ("<a href='x'>label</a>", "label"),
        ("\0<b>x</b>\0", "x"),
    ],
)
def test_read_html_gives_what_a_reader_sees(html: str, visible: str) -> None:
    assert _words(read_html(html, MOST).visible) == visible


@pytest.mark.parametrize(
    "how",
    [
        '<div style="display:none">',
        '<div style="DISPLAY : NONE">',
        '<span style="visibility:hidden">',
        '<span style="font-size:0px">',
        '<span style="font-size: 1px">',
        '<span style="font-size:0.05em">',
        '<span style="opacity:0">',
        '<div style="max-height:0;overflow:hidden">',
        '<div style="mso-hide:all">',
        "<div hidden>",
        '<div style="position:absolute;left:-9999px;top:-9999px">',
        '<p style="position: fixed; top: -2000px">',
        '<span style="text-indent:-9999px">',
        '<span style="color:#ffffff">',
        '<font color="#FEFEFE">',
        "<font color=white>",
        '<span style="color: rgb(255, 255, 255)">',
        '<td bgcolor="#000000"><font color="#000">',
        '<div style="background:#123456"><span style="color:#123457">',
    ],
)
def test_b12_read_html_when_text_is_hidden_keeps_it_apart(how: str) -> None:
    tag = how.rsplit("<", maxsplit=1)[-1].split(maxsplit=1)[0]
    found = read_html(f"<p>seen {how}secret</{tag}> too</p>", MOST)

    assert "secret" not in found.visible
    assert _words(found.visible) == "seen too"
    assert _words(found.hidden) == "secret"
    assert "hidden_text" in found.signals


@pytest.mark.parametrize(
    "how",
    [
        '<span style="color:#000000">',
        '<span style="font-size:12px">',
        '<span style="font-size:100%">',
        '<td bgcolor="#000000"><font color="white">',
        '<td background="x.png"><font color="white">',
        '<div style="opacity:0.9">',
        '<span style="color:notacolour">',
        '<span style="color:#12">',
        '<span style="font-size:.">',
        '<div style="position:absolute;left:-20px">',
        '<div style="position:relative;left:-9999em">',
        '<p style="text-indent:-18pt;margin-left:18pt">',
    ],
)
def test_read_html_when_text_is_seen_does_not_call_it_hidden(how: str) -> None:
    found = read_html(f"<p>a {how}b</p>", MOST)

    assert found.hidden == ""
    assert "b" in found.visible


def test_read_html_when_a_sheet_may_set_the_background_trusts_it() -> None:
    assert (
        read_html("<style>.x{background:#000}</style><div class=x><font color=white>seen</font></div>", MOST).hidden
        == ""
    )


def test_read_html_counts_links_images_and_forms() -> None:
    found = read_html(
        "<form><input type=password></form><img src='http://x/y.gif'><img src=cid:1>"
        "<a href=' http://example.com/a '>www.example.org</a><a name=x>no</a>",
        MOST,
    )

    assert [(link.href, link.text) for link in found.links] == [("http://example.com/a", "www.example.org")]
    assert (found.images, found.remote_images, found.forms) == (2, 1, 2)


@pytest.mark.parametrize("octet", ["\x01", "\x1f", "\ufffe", "&#1;"])
@pytest.mark.parametrize("cut", ["<script></script>", "<b style='display:none'>h</b>"], ids=["script", "hidden"])
def test_b5_read_html_when_what_xml_forbids_follows_a_cut_element_reads_on(octet: str, cut: str) -> None:
    found = read_html(f"<p>one {cut}{octet} two{cut} three</p>", MOST)

    assert re.findall("[a-z]+", found.visible) == ["one", "two", "three"]


def test_read_html_when_the_hidden_stands_in_the_hidden_reads_what_follows() -> None:
    found = read_html("<b hidden>x <i hidden>y</i> z</b> seen <i hidden>w</i> too", MOST)

    assert _words(found.visible) == "seen too"
    assert set(found.hidden.split()) == {"x", "y", "z", "w"}


@pytest.mark.parametrize("depth", [300, 3_000, 20_000])
def test_b5_read_html_when_nesting_is_deep_loses_no_text(depth: int) -> None:
    found = read_html("<div>" * depth + "SECRET <a href=http://example.com>x</a>", MOST)

    assert "SECRET" in found.visible
    assert found.signals == ("html_deep",)
    assert found.links[0].href == "http://example.com"


def test_read_html_when_words_are_split_by_comments_says_so() -> None:
    assert "html_split_words" in read_html("vi<!-- k -->agra", MOST).signals


def test_read_html_when_too_long_reads_the_beginning() -> None:
    found = read_html("<p>" + "a " * 100, 50)

    assert found.signals == ("html_truncated",)
    assert len(found.visible) < 60


@pytest.mark.parametrize(
    "html",
    ["<a>" * (MAX_TAGS + 1), "<a " + " ".join(f"a{i}=1" for i in range(11_000)) + ">x"],
    ids=["tags", "attributes"],
)
def test_b5_read_html_when_past_a_hard_cap_is_unscannable(html: str) -> None:
    with pytest.raises(Unscannable):
        read_html(html, 10_000_000)


BOMBS = ("<a ", "<a><b>", "<p><a><b><i><font>", "<div>", "<table><tr><td>", "<!--", "-->", "&amp;", "&#x", "<script>")
MORE_BOMBS = (
    "</p>",
    "<img style='",
    "<b style='color:",
    "<![CDATA[",
    "<?",
    "<!DOCTYPE ",
    "\0",
    "<style>a{/*",
    "<a href='x'>",
    "<a href=x></a><area href=x>",
    "<img><image>",
    "<form></form><input type=password>",
    "<script></script><style></style>",
)


def cost(text: str) -> float:
    """CPU seconds to read it, the least of three: a collection of the process's garbage may fall into one of them."""
    took = []
    for _ in range(3):
        started = time.process_time()
        with contextlib.suppress(Unscannable):
            read_html(text, MOST)
        took.append(time.process_time() - started)
    return min(took)


@pytest.mark.parametrize("piece", [*BOMBS, *MORE_BOMBS, "<font color=#fff>"])
def test_b5_read_html_when_a_bomb_grows_takes_time_in_proportion(piece: str) -> None:
    """Each is cheap up to the cap on size; the scanner's own time limit is the net below."""
    half, whole = cost(piece * (100_000 // len(piece))), cost(piece * (200_000 // len(piece)))

    assert whole < max(half * 5, 0.3)


def test_b5_read_html_when_text_stands_between_scripts_takes_time_in_proportion() -> None:
    """Each text was copied once for every script before it: four seconds for half a megabyte."""
    piece = "<script></script>some text"

    part, whole = cost(piece * (60_000 // len(piece))), cost(piece * (480_000 // len(piece)))

    assert whole < max(part * 24, 0.5)


PIECES = st.sampled_from(
    [*"<>/!-='\" ab&#;x\n", "<div style=color:#fff>", "</div>", "<a href=x>", "<!--", "-->", "<td>"]
)


@given(html=st.lists(PIECES, max_size=60).map("".join))
def test_b5_read_html_whatever_comes_gives_text(html: str) -> None:
    found = read_html(html, MOST)

    assert isinstance(found.visible, str)
    assert found.hidden == "" or "hidden_text" in found.signals
