"""The memory of reported near-duplicates: what it finds, forgets and no longer needs."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Channel, MessageId
from filterd.core.fingerprint import fingerprint, lanes
from filterd.core.near import NEAR_BITS, distance, is_near
from filterd.core.near_table import FIRST_BITS, Table
from filterd.core.reported import Credit, Report
from filterd.core.verdict import Label
from filterd.feedback_ports import ReportChange
from filterd.fuzzy.memory import RETIRE_AFTER, ReportedMemory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_report(id: int, text: str, channel: Channel = Channel.EMAIL, *, model: str = "old", age: int = 0) -> Report:
    return Report(
        id=id,
        channel=channel,
        message=MessageId(f"{id:032x}"),
        fingerprint=text,
        label=Label.SPAM,
        reporter="ann",
        recipients=("ann@example.org",),
        given_at=NOW - timedelta(days=age),
        model=model,
    )


def change(report: Report, *, is_standing: bool = True) -> ReportChange:
    return ReportChange(report=report, changed_at=NOW, is_standing=is_standing)


def flipped(text: str, bits: int, seed: int = 0) -> str:
    value = int(text, 16)
    for bit in random.Random(seed).sample(range(256), bits):
        value ^= 1 << bit
    return f"{value:064x}"


def text_of(seed: int) -> str:
    return f"{random.Random(seed).getrandbits(256):064x}"


def test_near_copy_is_found_and_another_text_is_not() -> None:
    memory = ReportedMemory()
    memory.apply(change(a_report(id, text_of(id))) for id in range(1, 500))

    found = [report.id for report in memory.find(Channel.EMAIL, flipped(text_of(77), 40))]

    assert found == [77]
    assert not memory.find(Channel.EMAIL, text_of(1000))
    assert not memory.find(Channel.SMS, text_of(77))
    assert not memory.find(Channel.EMAIL, "")


def test_short_texts_are_found_when_they_are_the_same() -> None:
    memory = ReportedMemory()
    memory.apply([change(a_report(1, "=00000000000000ff"))])

    assert [report.id for report in memory.find(Channel.EMAIL, "=00000000000000ff")] == [1]
    assert not memory.find(Channel.EMAIL, "=00000000000000fe")
    memory.apply([change(a_report(1, "=00000000000000ff"), is_standing=False)])
    assert not memory.find(Channel.EMAIL, "=00000000000000ff")


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=200))
def test_memory_is_what_stands_in_whatever_order_it_was_told(changes: list[tuple[int, bool]]) -> None:
    memory, standing = ReportedMemory(), set[int]()
    for id, is_standing in changes:
        memory.apply([change(a_report(id, text_of(id)), is_standing=is_standing)])
        (standing.add if is_standing else standing.discard)(id)

    assert len(memory) == len(standing)
    for id in range(1, 41):
        assert [report.id for report in memory.find(Channel.EMAIL, text_of(id))] == ([id] if id in standing else [])


def test_old_reports_are_forgotten() -> None:
    memory = ReportedMemory()
    memory.apply([change(a_report(1, text_of(1), age=50)), change(a_report(2, text_of(2), age=10))])

    memory.forget_before(NOW - timedelta(days=45))

    assert not memory.find(Channel.EMAIL, text_of(1))
    assert memory.find(Channel.EMAIL, text_of(2))


def test_what_labels_count_for_outlives_reading_them_all_again() -> None:
    """Until they are weighed again, a liar's would count in full."""
    memory, report = ReportedMemory(), a_report(1, text_of(1))
    memory.apply([change(report)])
    credit = Credit(weight=0.2, is_wavering=True)
    memory.weigh({1: credit, 9: credit})

    memory.replace([report, a_report(2, text_of(2))])
    memory.apply([change(report)])

    found = [memory.find(Channel.EMAIL, text_of(id))[0] for id in (1, 2)]
    assert [(each.weight, each.is_wavering) for each in found] == [(0.2, True), (1.0, False)]


def test_report_retires_once_another_model_gets_its_copies_right() -> None:
    memory = ReportedMemory()
    report = a_report(1, text_of(1), model="old")
    memory.apply([change(report)])
    for _ in range(RETIRE_AFTER):
        memory.note_agreement([report], Label.SPAM, "old")
    assert not memory.take_superfluous()

    memory.note_agreement([report], Label.SPAM, "new")
    memory.note_agreement([report], Label.HAM, "new")
    for _ in range(RETIRE_AFTER - 1):
        memory.note_agreement([report], Label.SPAM, "new")
    assert not memory.take_superfluous()

    memory.note_agreement([report], Label.SPAM, "new")
    assert memory.take_superfluous() == [1]
    assert not memory.take_superfluous()


def test_nearly_all_near_copies_are_found_among_many() -> None:
    memory = ReportedMemory()
    memory.apply(change(a_report(id, text_of(id))) for id in range(1, 5_001))

    found = sum(bool(memory.find(Channel.EMAIL, flipped(text_of(id), 48, seed=id))) for id in range(1, 501))

    assert found >= 495


@pytest.mark.parametrize("block", [64, 1 << 16], ids=["many blocks", "one block"])
def test_table_finds_exactly_what_is_within_both_bounds(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Also after rows have moved, and however many are compared at a time."""
    monkeypatch.setattr("filterd.core.near_table._BLOCK_ROWS", block)
    table, rng = Table[Report](), random.Random(7)
    known = {id: flipped(text_of(0), rng.randrange(50, 80), seed=id) for id in range(1, 400)}
    known |= {400: f"{int(text_of(0), 16) ^ ((1 << 256) - 1):064x}", 401: text_of(0)}
    for id, text in known.items():
        table.add(a_report(id, text))
    for id in range(1, 400, 3):
        table.remove(id)
        del known[id]

    found = {report.id for report in table.find(text_of(0))}

    wanted = lanes(text_of(0))
    first = {id for id, text in known.items() if np.bitwise_count(lanes(text)[0] ^ wanted[0]) <= FIRST_BITS}
    assert found == {id for id in first if distance(known[id], text_of(0)) <= NEAR_BITS}
    assert 401 in found
    assert 0 < len(found) < len(known)


def test_rewording_a_tenth_of_the_words_leaves_a_text_near_its_fingerprint() -> None:
    rng = np.random.default_rng(0)
    near = 0
    for _ in range(200):
        words = rng.integers(0, 2**63, size=60).astype(np.uint64)
        changed = words.copy()
        changed[rng.choice(60, 6, replace=False)] = rng.integers(0, 2**63, size=6).astype(np.uint64)
        near += is_near(fingerprint(words), fingerprint(changed))

    assert near >= 190


def test_unrelated_texts_are_far() -> None:
    rng = np.random.default_rng(1)
    texts = [fingerprint(rng.integers(0, 2**63, size=12).astype(np.uint64)) for _ in range(400)]

    assert min(distance(texts[0], other) for other in texts[1:]) > NEAR_BITS + 15
