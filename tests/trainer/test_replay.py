"""The recent past with another bundle: what would change, and what cannot be asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filterd.core.envelope import Channel, MessageId
from filterd.core.message import ParseLimits
from filterd.core.verdict import Action, Label
from filterd.errors import ContractMismatch
from filterd.feedback_ports import PastMessage
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import packaged_models
from tests.filterd.tiny_bundle import write_bundle
from trainer.replay import replay

SMS = packaged_models() / "sms"
TEXTS = ("ok see you at nine", "URGENT! You have won a 1 week FREE membership, call 09061701461 now to claim")


def past() -> list[PastMessage]:
    model = LoadedModel.open(SMS, ParseLimits())
    scorer = Scorer({Channel.SMS: model}, ParseLimits(), keeps_inputs=True)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for n, text in enumerate(TEXTS, 1):
        scan = scorer.scan(Channel.SMS, text.encode())
        found.append(
            PastMessage(
                id=MessageId(f"{n:032x}"),
                received_at=start + timedelta(minutes=n),
                sender="+15550001",
                recipients=("+15550002",),
                action=Action.ACCEPT,
                probability=scan.probability,
                label=Label.SPAM if n == 2 else None,
                hashing=scan.hashing,
                tokens=scan.tokens,
            )
        )
    return found


def test_same_bundle_changes_nothing() -> None:
    found = replay(past(), SMS, SMS)

    assert (found.messages, found.unread, found.changes) == (2, 0, ())


def test_two_processes_say_what_one_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the order of the messages, of which the second is spam that the candidate misses."""
    monkeypatch.setattr("trainer.replay._CHUNK", 1)
    candidate = write_bundle(tmp_path, Channel.SMS, id="sms-lenient", bias=-20.0)

    one, two = (replay(past(), SMS, candidate, jobs=jobs) for jobs in (1, 2))

    assert two == one
    assert one.messages == len(TEXTS)


def test_bundle_that_calls_everything_ham_changes_what_was_spam(tmp_path: Path) -> None:
    lenient = write_bundle(tmp_path / "lenient", Channel.SMS, id="sms-lenient", bias=-20.0)

    found = replay(past(), SMS, lenient)

    (change,) = found.changes
    assert (change.id, change.is_spam, change.label) == (MessageId(f"{2:032x}"), False, Label.SPAM)
    assert change.incumbent > 0.5 > change.candidate
    assert "0 would be spam now, 1 would be ham" in found.lines()[0]
    assert "people say spam" in found.lines()[1]


def test_messages_read_by_another_version_or_damaged_are_counted_and_not_scored() -> None:
    one, other = past()

    found = replay([replace(one, hashing="0" * 12), replace(other, tokens=other.tokens[:-1])], SMS, SMS)

    assert (found.messages, found.unread) == (0, 2)


def test_unknown_operating_point_is_refused() -> None:
    with pytest.raises(ContractMismatch, match="gentle"):
        replay(past(), SMS, SMS, point="gentle")
