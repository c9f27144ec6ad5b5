"""The reader of regular mail against the standard library's parser: the same tree, or none at all."""

from __future__ import annotations

import random
from email.message import Message as Part
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterd.core.regular import read_regular
from filterd.core.rfc822 import MAX_PARAMETERS_CHARS, _parse_any
from filterd.errors import Unscannable
from tests.filterd import composed

_PARTS, _DEPTH = 40, 4
_LINES = (
    *(
        b"Subject: x",
        b"Content-Type: text/html",
        b"Content-Type: multipart/mixed; boundary=b",
        b"X-Y : z",
        b"From: a@b",
    ),
    *(b'Content-Type: multipart/alternative; boundary="c "', b"Content-Type: multipart/digest; boundary=b", b"From x"),
    *(b"Content-Type: message/rfc822", b"Content-Type: message/delivery-status", b"Content-Type: ;;", b": y", b"X:"),
    *(
        b"Content-Type: multipart/mixed; boundary*0=b; boundary*1=c",
        b"Content-Type: multipart/mixed",
        b" folded",
        b"\t",
    ),
    *(b"Content-Type: text/plain; name=" + b"n" * MAX_PARAMETERS_CHARS, b"Content-Type: \xe9/x", b"Subject: \xe9"),
    *(
        b"",
        b"",
        b"",
        b"--b",
        b"--b",
        b"--b--",
        b"--c",
        b"--c--",
        b"--b \t",
        b"--b-- ",
        b"--bc",
        b"x--b",
        b"-- ",
        b"text",
    ),
)
_ENDS = st.sampled_from((b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b""))
_MAIL = st.lists(st.tuples(st.sampled_from(_LINES), _ENDS), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def _flat(part: Part) -> Any:
    payload = part._payload  # type: ignore[attr-defined]  # not in the stub
    body = [_flat(child) for child in payload] if isinstance(payload, list) else payload
    return list(part.raw_items()), part.get_default_type(), body


def _is_read(raw: bytes, parts: int = _PARTS, depth: int = _DEPTH) -> bool:
    """Whether ``raw`` is regular; and then it is read as the standard library reads it."""
    tree = read_regular(raw, parts, depth, MAX_PARAMETERS_CHARS)
    if tree is None:
        return False
    root, *facts = _parse_any(raw, parts, depth)
    assert _flat(tree.root) == _flat(root)
    assert [tree.parts, tree.depth, tree.is_cut] == facts
    return True


@settings(max_examples=1_000)
@given(raw=_MAIL)
def test_read_whatever_the_lines_gives_the_tree_of_the_standard_library_or_none(raw: bytes) -> None:
    _is_read(raw)


def test_read_when_mail_is_ordinary_reads_it() -> None:
    assert all(_is_read(composed.mail(seed)) for seed in range(40))


def test_read_when_ordinary_mail_is_damaged_gives_the_tree_of_the_standard_library_or_none() -> None:
    draw = random.Random(3)
    pieces = (*(b"\r", b"\n", b"\n\n", b"--", b":", b" ", b"\t", b"\0", b"\xff", b"From ", b"\x0c", b"\x85"), *_LINES)
    read = 0
    for seed in range(600):
        raw = composed.mail(seed)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(min(len(raw), 1_500))
            raw = raw[:at] + draw.choice(pieces) + raw[at + draw.choice((0, 0, 1, 15)) :]
        read += _is_read(raw)

    assert read > 100


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: a\rX: b\n\nx",
        b"Subject: a\n\nx\ry",
        b"From x@y Mon\nSubject: a\n\nx",
        b"Subject: a\nFrom x\n\nx",
        b" x\nSubject: a\n\nx",
        b"Subject : a\n\nx",
        b": a\n\nx",
        b"Subject: a",
        b"Subject: a\nno header\n\nx",
        b"Content-Type: message/rfc822\n\nSubject: b\n\nx",
        b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nx\n--b--\n",
        b"Content-Type: multipart/mixed\n\nx",
        b"Content-Type: multipart/mixed; boundary=b\n\nx",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
        b"Content-Type: text/plain; name=\xe9\n\nx",
    ],
)
def test_read_when_mail_is_irregular_leaves_it_to_the_standard_library(raw: bytes) -> None:
    assert read_regular(raw, _PARTS, _DEPTH, MAX_PARAMETERS_CHARS) is None


@pytest.mark.parametrize(("parts", "depth"), [(3, _DEPTH), (_PARTS, 1)], ids=["too-many-parts", "too-deep"])
def test_read_when_a_limit_is_exceeded_leaves_the_refusal_to_the_standard_library(parts: int, depth: int) -> None:
    inner = b"Content-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c\n\ny\n--c--\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + inner + b"--b--\n"

    assert _is_read(raw)
    assert read_regular(raw, parts, depth, MAX_PARAMETERS_CHARS) is None
    with pytest.raises(Unscannable):
        _parse_any(raw, parts, depth)


@pytest.mark.parametrize("mark", [b"--" + b"-" * 60, b"x--" + b"-" * 60, b"\n--" + b"-" * 60 + b"x"])
def test_read_when_a_mark_stands_everywhere_is_done_soon(mark: bytes) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=" + b"-" * 60 + b"\n\n--" + b"-" * 60 + b"\n\n" + mark * 30_000

    assert _is_read(raw, parts=30_000)
