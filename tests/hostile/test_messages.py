"""Generated hostile messages: each is scored or unscannable in time, and passes the splice and the wire unharmed.

``HOSTILE_MESSAGES`` says how many; without it three of every shape. ``make hostile`` runs more than 5,000.
"""

from __future__ import annotations

import os
import re
import zipfile

import pytest

from filterd.core.headers import Stamp, stamp
from filterd.core.message import ParseLimits, parse_email
from filterd.core.smtp_data import DataReceiver, emit, has_bare_newline
from filterd.core.verdict import Action, Decision, Reason
from filterd.errors import BareNewline, Unscannable
from filterd.testing import a_scan, an_envelope
from tests.filterd.core.test_corpora import messages as corpus
from tests.hostile import draw
from tests.hostile.scanning import ATTEMPTS, scan_all
from tests.hostile.shapes import SHAPES, Hostile, compose, make

COUNT = int(os.environ.get("HOSTILE_MESSAGES", "0")) or 3 * len(SHAPES)
ENVELOPE = an_envelope()
SETTINGS = Stamp(hostname="gw.example", trusted_authserv_ids=frozenset({"mx.example"}), release_key=b"key")
DECISIONS = (
    Decision(action=Action.ACCEPT, reason=Reason.HAM, threshold=0.6, scan=a_scan(0.01)),
    Decision(action=Action.TAG, reason=Reason.SPAM, threshold=0.6, scan=a_scan(0.99)),
    Decision(action=Action.ACCEPT, reason=Reason.SCAN_DOWN),
)
FORGED = re.compile(rb"(?:x-spam-|x-spamd-|x-rspamd-|x-filterd-|x-spam:|authentication-results:)")
SECONDS_PER_MESSAGE = 20


@pytest.mark.slow
@pytest.mark.timeout(120 + COUNT * SECONDS_PER_MESSAGE)
async def test_b1_b2_b3_b4_b5_b6_b7_b8_b9_b10_b11_b12_generated_message_is_scored_or_unscannable_in_time() -> None:
    """Within 2 seconds and 512 MB, and no message costs a scanner its life."""
    found = await scan_all(compose(COUNT))
    print(found.summary())  # noqa: T201  # for whoever runs it with -s

    assert found.slow == {}
    assert found.lost == {}
    assert len(found.seconds) >= COUNT


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_b1_b8_message_of_other_parsers_suites_is_scored_or_unscannable_in_time() -> None:
    found = await scan_all(Hostile(name=name, raw=raw) for name, raw in corpus("torture.tar.xz"))
    print(found.summary())  # noqa: T201  # for whoever runs it with -s

    assert found.slow == {}
    assert found.lost == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_b9_b10_b11_generated_message_passes_the_splice_unharmed(shape: str) -> None:
    """Nothing but forged headers goes, nothing but our block comes, whatever the message."""
    for number in range(max(3, COUNT // len(SHAPES))):
        message = make(f"{shape}#{number}")
        for decision in DECISIONS:
            check_splice(message.raw, decision)


def check_splice(raw: bytes, decision: Decision) -> None:
    """Fails unless ``raw`` comes out octet for octet, but for our block and forged headers."""
    out = stamp(raw, ENVELOPE, decision, SETTINGS)
    block = stamp(b"\r\n", ENVELOPE, decision, SETTINGS)[:-2]
    mailbox = re.match(rb">?From [^\r\n]*(?:\r\n|\r|\n)", raw)
    first = mailbox[0] if mailbox else b""
    assert out.startswith(first + block)
    rest, after = raw[len(first) :], out[len(first) + len(block) :]
    end = _end_of_header(rest) if not raw.startswith(b"\r\n") else 0
    header, body = rest[:end], rest[end:]
    assert after.endswith(body)
    kept = after[: len(after) - len(body)].removeprefix(b"X-Filterd-End: 1\r\n")
    if not header.startswith(b"\r\n"):
        kept = kept.removeprefix(b"\r\n")
    _check_header(_lines(header), _lines(kept))


def _end_of_header(rest: bytes) -> int:
    """Behind the last header line, by the longest reading."""
    at = rest.find(b"\r\n\r\n")
    return len(rest) if at < 0 else at + 2


def _lines(header: bytes) -> list[bytes]:
    lines = re.split(rb"\r\n|\r|\n", header)
    return lines if lines[-1] else lines[:-1]


def _check_header(before: list[bytes], kept: list[bytes]) -> None:
    """What was kept is what there was, in order, but for forged fields with their continuation lines."""
    at = 0
    for field in _fields(before):
        if kept[at : at + len(field)] == field:
            at += len(field)
        else:
            assert FORGED.match(bytes(c for c in b"".join(field) if 0x20 < c < 0x7F).lower()), field
    assert at == len(kept)


def _fields(lines: list[bytes]) -> list[list[bytes]]:
    fields: list[list[bytes]] = []
    for line in lines:
        if fields and line[:1] in (b" ", b"\t"):
            fields[-1].append(line)
        else:
            fields.append([line])
    return fields


@pytest.mark.parametrize("shape", SHAPES)
def test_a2_generated_message_is_one_message_on_the_wire(shape: str) -> None:
    message = make(f"{shape}#0")
    wire = emit(message.raw)

    assert not has_bare_newline(wire)
    receiver = DataReceiver(len(wire))
    assert receiver.feed(wire) == b""
    try:
        received = receiver.message()
    except BareNewline:
        assert b"\0" in message.raw
    else:
        assert received == emit(message.raw)[:-3].replace(b"\r\n..", b"\r\n.").removeprefix(
            b"." * wire.startswith(b"..")
        )


def test_b4_archive_is_named_and_never_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = [make(f"b4-archives#{number}").raw for number in range(20)]
    monkeypatch.setattr(zipfile, "ZipFile", None)

    for raw in raws:
        message = parse_email(raw, ParseLimits())
        assert [a.name.partition(".")[0] for a in message.attachments] == ["a"]
        assert len(message.text) < 1_000


def test_b4_decoded_octets_have_a_cap() -> None:
    part = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + draw.lines(bytes(60_000))
    raw = draw.multipart([part] * 10)

    with pytest.raises(Unscannable, match="decoded"):
        parse_email(raw, ParseLimits(max_decoded_bytes=500_000))


def test_message_when_it_is_made_again_is_the_same() -> None:
    assert make("b5-soup#3") == make("b5-soup#3")
    assert make("b5-soup#3") != make("b5-soup#3", seed=1)
    assert len({message.name for message in compose(len(SHAPES) + 1)}) == 2 * len(SHAPES)
    assert {name.partition("-")[0] for name in SHAPES} == {f"b{n}" for n in range(1, 13)}
    assert ATTEMPTS > 1
