"""Filters under comparison see no line that the collector of a corpus wrote, and every line that he did not."""

from __future__ import annotations

import pytest

from trainer.collector import stripped

BODY = b"\n\nStatus: of the weather\nList-Id: no header\n"


@pytest.mark.parametrize(
    "line",
    [
        b"X-Spam-Status: No, hits=1.2\n\ttests=A,\n\tB\n",
        b"x-spam-flag: YES\r\n",
        b"X-Barracuda-Spam-Score: 0.1\n",
        b"X-MS-Exchange-Organization-SCL: 1\n",
        b"List-Unsubscribe: <mailto:a@example.org>\n",
        b"X-Keywords: a\n",
        b"Resent-From: a@example.org\n",
        b"Status: RO\n",
        b"X-Status: A\n",
        b"Received: from a\n\tby b; Mon, 03 Jun 2002 10:00:00 +0200\n",
    ],
)
def test_stripped_when_the_collector_wrote_a_line_then_it_is_gone_with_its_continuation(line):
    assert stripped(b"From: a@example.org\n" + line + b"Subject: hi" + BODY) == (
        b"From: a@example.org\nSubject: hi" + BODY
    )


def test_stripped_when_servers_before_the_collector_left_traces_then_those_stay():
    raw = b"Received: by mine\nReceived: by yours\nReceived: by theirs\nSubject: hi" + BODY

    assert stripped(raw) == b"Received: by yours\nReceived: by theirs\nSubject: hi" + BODY


def test_stripped_when_an_mbox_line_comes_first_then_it_is_gone():
    assert stripped(b"From a@example.org Mon Jun  3\nSubject: hi" + BODY) == b"Subject: hi" + BODY


@pytest.mark.parametrize("raw", [b"", b"\n", b"\nList-Id: x", b"no headers at all", b" odd: start\nx: y\n\nz"])
def test_stripped_when_there_is_nothing_of_the_collector_then_the_bytes_stay(raw):
    assert stripped(raw) == raw
