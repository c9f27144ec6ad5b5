"""Mail from other filters is read as it was before they saw it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filterd.core.imported import as_received, example_id, sender_of

MARKED = (
    b"From ann@example.org Thu Jan  1 10:00:00 2026\n"
    b"Return-Path: <ann@example.org>\n"
    b"X-Spam-Status: Yes, score=9.1 required=5.0\n\ttests=BAYES_99\n"
    b"X-Bogosity: Spam, tests=bogofilter\n"
    b"Received: from a by b\n"
    b"Subject: hello\n"
    b"\n"
    b"X-Spam-Flag: YES\n"
    b"body\n"
)
BARE = b"Received: from a by b\r\nSubject: hello\r\n\r\nX-Spam-Flag: YES\r\nbody\r\n"


def test_header_fields_of_other_filters_are_gone_and_nothing_else() -> None:
    """A model must not learn what the other filter thought; the body is the sender's."""
    assert as_received(MARKED) == BARE


def test_same_mail_has_the_same_id_however_it_was_kept() -> None:
    """From an mbox, from a Maildir, marked or not: importing it twice is importing it once."""
    assert example_id(as_received(MARKED)) == example_id(as_received(BARE.replace(b"\r\n", b"\n")))
    assert example_id(as_received(MARKED)) != example_id(as_received(BARE + b"more"))


def test_sender_is_what_the_store_noted() -> None:
    """The envelope sender is in Return-Path, or not known."""
    assert (sender_of(MARKED), sender_of(BARE)) == ("ann@example.org", "")


@given(st.lists(st.sampled_from([b"\r", b"\n", b"From ", b"X-Spam-A: b", b" c", b":", b"Subject: x", b"\0\xff"])))
def test_reading_twice_changes_nothing_more(pieces: list[bytes]) -> None:
    """Line ends are CRLF, whatever they were."""
    once = as_received(b"".join(pieces))

    assert b"\n" not in once.replace(b"\r\n", b"")
    assert b"\r" not in once.replace(b"\r\n", b"")
    assert example_id(once) == example_id(once)
