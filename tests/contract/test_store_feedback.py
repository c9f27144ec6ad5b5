"""What every ledger of labels does, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filterd.core.alarm import Record
from filterd.core.envelope import Channel
from filterd.core.verdict import Action, Evidence, Label, Outcome, OutcomeKind, Reply
from filterd.errors import NotFound, UsageError
from filterd.feedback_ports import Labels
from filterd.model_ports import Disagreement
from filterd.store.engine import database_url
from filterd.store.retention import Retention
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, a_scan
from tests.contract.stores import HOLD, RAW, RELAYED, Store, envelope, label, nth, verdict

# Feedback


async def test_feedback_is_idempotent_per_reporter_and_label(store: Store, other: Store) -> None:
    await store.record(verdict(envelope(1)))

    assert await store.add_feedback(label(1))
    assert not await other.add_feedback(label(1))
    assert await store.add_feedback(label(1, reporter="bob"))


async def test_opposite_label_replaces_the_reporter_s_first(store: Store) -> None:
    await store.record(verdict(envelope(1)))
    await store.add_feedback(label(1, Label.SPAM))

    assert await store.add_feedback(label(1, Label.HAM))
    assert await store.add_feedback(label(1, Label.SPAM))
    assert not await store.add_feedback(label(1, Label.SPAM))


async def test_feedback_on_an_unknown_message_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.add_feedback(label(1))


async def test_feedback_on_a_retry_counts_for_the_message(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(envelope(2), RAW, HOLD)

    assert await store.add_feedback(label(2))


# Examples


EXAMPLE = replace(a_scan(0.97), fingerprint="0" * 63 + "1", model="m1", tokens=b"read", hashing="h")


async def test_example_is_learned_without_a_verdict(store: Store, other: Store) -> None:
    given = replace(label(1), recipient="Ann@example.net", origin="import")

    assert await store.add_example(given, EXAMPLE, "Eve@casino.example")
    assert not await other.add_example(given, EXAMPLE, "Eve@casino.example")
    (learned,) = await other.labelled_inputs(Channel.EMAIL)
    assert (learned.message, learned.tokens, learned.hashing) == (nth(1), b"read", "h")
    assert (learned.sender, learned.recipients) == ("eve@casino.example", ("ann@example.net",))
    with pytest.raises(NotFound):
        await store.verdicts(nth(1))


async def test_example_for_nobody_speaks_for_nobody_first(store: Store) -> None:
    await store.add_example(label(1), EXAMPLE, "")

    (change,) = await store.report_changes(None, most=9)
    assert (change.report.recipients, change.report.is_for_all) == ((), False)


async def test_example_corrects_no_bundle(store: Store) -> None:
    """However many there are, they take no place among the labels that a bundle in service learns from."""
    await store.add_example(label(1), EXAMPLE, "")

    assert not await store.labelled_inputs(Channel.EMAIL, model="m1")


async def test_example_is_no_message_of_the_past(store: Store) -> None:
    """What is replayed passed here: examples neither are among it nor end a page of it."""
    await store.add_example(replace(label(1), message_id=nth(1)), EXAMPLE, "")
    await store.record(verdict(envelope(2), replace(HOLD, scan=EXAMPLE)))

    found = await store.past(Channel.EMAIL, since=datetime(2000, 1, 1, tzinfo=UTC), most=1)
    assert [each.id for each in found] == [nth(2)]


async def test_example_is_erased_with_its_sender_or_recipient(store: Store) -> None:
    await store.add_example(replace(label(1), recipient="ann@example.net"), EXAMPLE, "")
    await store.add_example(replace(label(2), recipient="bob@example.net"), EXAMPLE, "eve@casino.example")
    await store.add_example(label(3), EXAMPLE, "")
    await store.erase("ann@example.net", "root")
    await store.erase("eve@casino.example", "root")

    assert [each.message for each in await store.labelled_inputs(Channel.EMAIL)] == [nth(3)]


# Reports


SCANNED = replace(HOLD, scan=replace(a_scan(0.97), fingerprint="0" * 63 + "1", model="m1"))


async def reported(store: Store, since: datetime | None = None) -> list[tuple[int, bool]]:
    return [(c.report.id, c.is_standing) for c in await store.report_changes(since, most=100)]


async def test_label_is_remembered_with_what_its_message_was(store: Store, other: Store) -> None:
    await store.record(verdict(envelope(1, "alice@example.org", "Ann@Example.net", "bob@example.net"), SCANNED))
    await store.add_feedback(label(1))

    (change,) = await other.report_changes(None, most=100)

    report = change.report
    assert change.is_standing
    assert (report.channel, report.label, report.reporter, report.model) == (Channel.EMAIL, Label.SPAM, "ann", "m1")
    assert (report.message, report.fingerprint) == (nth(1), "0" * 63 + "1")
    assert report.recipients == ("ann@example.net", "bob@example.net")
    assert not report.is_for_all


async def test_recipient_s_own_label_speaks_for_that_recipient(store: Store) -> None:
    await store.record(verdict(envelope(1, "alice@example.org", "ann@example.net", "bob@example.net"), SCANNED))
    await store.add_feedback(replace(label(1), recipient="Bob@example.net", is_for_all=True))

    (change,) = await store.report_changes(None, most=100)

    assert change.report.recipients == ("bob@example.net",)
    assert change.report.is_for_all


async def test_message_without_a_fingerprint_is_not_remembered(store: Store) -> None:
    await store.record(verdict(envelope(1)))
    await store.add_feedback(label(1))

    assert not await reported(store)


async def test_label_outlives_its_verdict_in_the_memory(store: Store, clock: FixedClock) -> None:
    await store.record(verdict(envelope(1), SCANNED))
    clock.advance(29 * 86_400)
    await store.add_feedback(replace(label(1), given_at=clock.now()))
    clock.advance(2 * 86_400)

    assert (await store.purge(clock.now()))["verdict"] == 1
    assert len(await reported(store)) == 1


async def test_opposite_label_is_a_change_of_both(store: Store) -> None:
    await store.record(verdict(envelope(1), SCANNED))
    await store.add_feedback(label(1, Label.SPAM))
    await store.add_feedback(label(1, Label.HAM))

    changes = await store.report_changes(datetime(2026, 1, 1, tzinfo=UTC), most=100)

    assert [(c.report.label, c.is_standing) for c in changes] == [(Label.SPAM, False), (Label.HAM, True)]
    assert len(await reported(store)) == 1


async def test_changes_are_those_since_a_moment_and_the_newest(store: Store, clock: FixedClock) -> None:
    for n in (1, 2, 3):
        await store.record(verdict(envelope(n), SCANNED))
        await store.add_feedback(replace(label(n), given_at=clock.now() + timedelta(seconds=n)))

    start = clock.now()
    assert [id for id, _ in await reported(store, start + timedelta(seconds=2))] == [2, 3]
    assert [c.report.id for c in await store.report_changes(None, most=2)] == [2, 3]


async def test_retired_label_stands_and_is_no_longer_remembered(store: Store, clock: FixedClock) -> None:
    await store.record(verdict(envelope(1), SCANNED))
    await store.add_feedback(label(1))
    clock.advance(60)

    await store.retire([1])

    assert await reported(store) == []
    assert await reported(store, clock.now()) == [(1, False)]
    assert not await store.add_feedback(label(1))


async def test_labels_are_revoked_alone_and_by_reporter_time_sender_and_campaign(
    store: Store, clock: FixedClock
) -> None:
    far = replace(HOLD, scan=replace(a_scan(0.97), fingerprint="f" * 64))
    near = replace(HOLD, scan=replace(a_scan(0.97), fingerprint="0" * 62 + "10"))
    senders = ("a@spam.example", "b@mail.spam.example", "c@other.example", "d@notspam.example")
    for n, (sender, decision) in enumerate(zip(senders, (SCANNED, near, far, far), strict=True), 1):
        await store.record(verdict(envelope(n, sender), decision))
        given = clock.now() + timedelta(minutes=n)
        await store.add_feedback(replace(label(n, reporter="ann" if n % 2 else "bob"), given_at=given))
    clock.advance(3600)

    async def meant(**what: object) -> list[int]:
        return list(await store.revoke(Labels(**what), "root", is_rehearsal=True))  # type: ignore[arg-type]

    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert await meant(message=nth(3)) == [3]
    assert await meant(reporter="ann") == [1, 3]
    assert await meant(sender_domain="spam.example") == [1, 2]
    assert await meant(campaign=nth(1)) == [1, 2]
    assert await meant(since=start + timedelta(minutes=2), until=start + timedelta(minutes=4)) == [2, 3]
    assert await meant(reporter="bob", sender_domain="spam.example") == [2]
    assert len(await reported(store)) == 4

    assert await store.revoke(Labels(reporter="ann"), "root") == [1, 3]

    assert await reported(store) == [(2, True), (4, True)]
    assert await reported(store, clock.now()) == [(1, False), (3, False)]
    assert await store.revoke(Labels(reporter="ann"), "root") in ([], ())
    assert await store.add_feedback(replace(label(1), given_at=clock.now()))


async def test_revoking_everything_by_saying_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError):
        await store.revoke(Labels(), "root")
    with pytest.raises(NotFound):
        await store.revoke(Labels(campaign=nth(7)), "root")


async def test_erase_takes_a_person_out_of_the_memory(store: Store) -> None:
    await store.record(verdict(envelope(1, "alice@example.org", "ann@example.net", "bob@example.net"), SCANNED))
    await store.record(verdict(envelope(2, "ann@example.net", "bob@example.net", "eve@example.net"), SCANNED))
    await store.add_feedback(label(1))
    await store.add_feedback(label(2))

    await store.erase("ann@example.net", "root")

    (change,) = await store.report_changes(None, most=100)
    assert change.report.recipients == ("bob@example.net",)


async def test_what_the_model_read_is_kept_and_comes_with_the_label(store: Store, clock: FixedClock) -> None:
    read = replace(a_scan(0.97), logit=1.5, model="m1", tokens=b"\0\1", hashing="0123456789ab")
    for n, scan in ((1, read), (2, replace(read, model="m2")), (3, a_scan(0.97))):
        await store.record(verdict(envelope(n), replace(HOLD, scan=scan)))
        await store.record(verdict(envelope(n), replace(HOLD, scan=scan)))
        await store.add_feedback(label(n))

    one, two = await store.labelled_inputs(Channel.EMAIL)
    assert (one.id, one.label, one.logit, one.tokens, one.hashing) == (1, Label.SPAM, 1.5, b"\0\1", "0123456789ab")
    assert (one.sender, one.recipients, one.model) == ("alice@example.org", ("bob@example.net",), "m1")
    assert [found.id for found in await store.labelled_inputs(Channel.EMAIL, model="m2")] == [2]
    assert [found.id for found in await store.labelled_inputs(Channel.EMAIL, after=1)] == [2]
    assert not await store.labelled_inputs(Channel.SMS)
    await store.revoke(Labels(message=nth(1)), "root")
    assert [found.id for found in await store.labelled_inputs(Channel.EMAIL)] == [two.id]


async def test_similar_labels_are_the_nearest_that_stand(store: Store) -> None:
    for n, text in (
        (1, "0" * 64),
        (2, "0" * 62 + "0f"),
        (3, "0" * 60 + "00ff"),
        (4, "f" * 64),
        (5, "=0123456789abcdef"),
    ):
        await store.record(verdict(envelope(n), replace(HOLD, scan=replace(a_scan(0.1), fingerprint=text))))
        await store.add_feedback(label(n))
    await store.revoke(Labels(message=nth(1)), "root")

    found = await store.similar(Channel.EMAIL, "0" * 64)

    assert [(s.message, s.distance, s.report.id) for s in found] == [(nth(2), 4, 2), (nth(3), 8, 3)]
    assert [s.distance for s in await store.similar(Channel.EMAIL, "=0123456789abcdef")] == [0]
    assert not await store.similar(Channel.SMS, "0" * 64)
    assert not await store.similar(Channel.EMAIL, "")


async def test_input_of_one_message_is_found_where_it_was_kept(store: Store) -> None:
    scan = replace(a_scan(0.1), tokens=b"\1", hashing="0123456789ab")
    await store.record(verdict(envelope(1), replace(HOLD, scan=scan)), verdict(envelope(2)))

    found = await store.kept_input(nth(1))

    assert found is not None
    assert (found.channel, found.hashing, found.tokens) == (Channel.EMAIL, "0123456789ab", b"\1")
    assert await store.kept_input(nth(2)) is None
    assert await store.kept_input(nth(9)) is None


async def test_past_is_what_can_be_scored_again_with_what_people_say(store: Store, clock: FixedClock) -> None:
    for n in (1, 2, 3, 4):
        scan = replace(a_scan(0.1 * n), tokens=bytes([n]), hashing="0123456789ab")
        await store.record(verdict(envelope(n), replace(HOLD, scan=scan if n != 3 else a_scan(0.3))))
    await store.add_feedback(label(2, Label.HAM))
    start = clock.now() - timedelta(days=1)

    found = list(await store.past(Channel.EMAIL, since=start))

    assert [(m.id, m.tokens, m.label) for m in found] == [
        (nth(1), b"\1", None),
        (nth(2), b"\2", Label.HAM),
        (nth(4), b"\4", None),
    ]
    assert (found[0].sender, found[0].recipients, found[0].action) == (
        "alice@example.org",
        ("bob@example.net",),
        Action.QUARANTINE,
    )
    assert [m.id for m in await store.past(Channel.EMAIL, since=start, after=nth(1), most=1)] == [nth(2)]
    assert not await store.past(Channel.SMS, since=start)
    assert not await store.past(Channel.EMAIL, since=clock.now() + timedelta(days=1))


async def test_background_is_the_latest_messages_without_a_label(store: Store) -> None:
    for n in (1, 2, 3, 4):
        scan = replace(a_scan(0.1), tokens=bytes([n]), hashing="0123456789ab")
        await store.record(verdict(envelope(n), replace(HOLD, scan=scan)))
    await store.add_feedback(label(3))

    assert list(await store.background(Channel.EMAIL, most=2)) == [b"\4", b"\2"]
    assert not await store.background(Channel.SMS, most=2)


async def test_input_is_kept_for_its_days_or_as_long_as_a_label_on_it_stands(clock: FixedClock, tmp_path: Path) -> None:
    scan = replace(a_scan(0.97), tokens=b"\0\1", hashing="0123456789ab")
    keep = Retention(input_days=7)
    async with SqlStore(database_url(f"sqlite:///{tmp_path}/s.db", ""), clock=clock, keep=keep) as store:
        await store.migrate()
        for n in (1, 2):
            await store.record(verdict(envelope(n), replace(HOLD, scan=scan)))
        await store.add_feedback(label(1))

        assert (await store.purge(clock.now() + timedelta(days=6)))["scanned"] == 0
        assert (await store.purge(clock.now() + timedelta(days=8)))["scanned"] == 1
        assert len(await store.labelled_inputs(Channel.EMAIL)) == 1
        await store.revoke(Labels(message=nth(1)), "root")
        assert (await store.purge(clock.now() + timedelta(days=8)))["scanned"] == 1


async def test_verdict_keeps_what_it_rested_on(store: Store) -> None:
    scan = replace(a_scan(0.5), evidence=(Evidence(token="prize", weight=1.25),), signals=("hidden_text",))
    rested = replace(HOLD, scan=scan, reports=(3, 9))
    await store.record(replace(verdict(envelope(1), rested), policy="0123456789ab"))

    (row,) = await store.verdicts(nth(1))

    assert (row.policy, row.reports, row.evidence, row.signals) == (
        "0123456789ab",
        (3, 9),
        (Evidence(token="prize", weight=1.25),),
        ("hidden_text",),
    )


# Models


async def test_disagreement_is_kept_once_per_message_and_candidate(
    store: Store, other: Store, clock: FixedClock
) -> None:
    def found(n: int, candidate: str = "m2") -> Disagreement:
        return Disagreement(
            message=nth(n),
            channel=Channel.EMAIL,
            candidate=candidate,
            candidate_probability=0.9,
            incumbent="m1",
            incumbent_probability=0.2,
            seen_at=clock.now(),
        )

    for each in (found(1), found(2), found(1), found(1, "m3")):
        await store.record_disagreement(each)

    assert list(await other.disagreements(Channel.EMAIL, "m2")) == [found(2), found(1)]
    assert list(await other.disagreements(Channel.EMAIL, "m2", limit=1)) == [found(2)]
    assert not await other.disagreements(Channel.SMS, "m2")


async def test_bundles_fare_as_people_say(store: Store, clock: FixedClock) -> None:
    held = Outcome(kind=OutcomeKind.HELD, reply=Reply(code=250))
    for n, (model, outcome, said) in enumerate(
        [
            ("m1", held, None),
            ("m1", held, Label.HAM),
            ("m1", RELAYED, Label.SPAM),
            ("m1", RELAYED, Label.HAM),
            ("m2", RELAYED, None),
            ("m2", replace(held, kind=OutcomeKind.ADVISED), Label.HAM),
            ("m2", replace(held, kind=OutcomeKind.TAUGHT), Label.SPAM),
        ],
        1,
    ):
        scan = replace(a_scan(0.5), model=model)
        await store.record(verdict(envelope(n), replace(HOLD, scan=scan), outcome))
        if said is not None:
            await store.add_feedback(label(n, said))
            await store.add_feedback(label(n, said, reporter="bob"))
    start = clock.now() - timedelta(days=7)

    assert await store.fared(Channel.EMAIL, start) == {
        "m1": Record(held=2, wrongly_held=1, passed=2, missed=1),
        "m2": Record(held=1, wrongly_held=1, passed=1, missed=0),
    }
    assert await store.fared(Channel.EMAIL, clock.now() + timedelta(days=1)) == {}
