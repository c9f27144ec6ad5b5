"""Who gets a digest, when, of what, and what happens when it cannot be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from filterd.core.access import Role
from filterd.core.digest import Schedule
from filterd.core.verdict import Reply
from filterd.digest_keeper import LEASE_SECONDS, REST_SECONDS, RETRY_SECONDS
from filterd.errors import RelayAmbiguous, RelayUnavailable, StoreUnavailable
from filterd.testing import RecordingRelay
from tests.filterd.digest_mailbox import ANN, BOB, DAY_SECONDS, Mailboxes, links_of, mailboxes, text_of


@pytest.fixture
async def post() -> AsyncIterator[Mailboxes]:
    made = mailboxes()
    yield made
    await made.house.close()


def sent(post: Mailboxes, result: str = "sent") -> float:
    return post.house.metrics.digests.labels(result)._value.get()  # type: ignore[no-any-return]  # no public reader


async def test_digest_tells_what_was_held_since_the_last_one(post: Mailboxes) -> None:
    await post.open()
    await post.hold(subject="First")
    await post.tomorrow()
    await post.hold(subject="Second")
    await post.hold(BOB, subject="Not for her")
    await post.tomorrow()

    first, second = post.mails
    assert "First" in text_of(first)
    assert "Second" in text_of(second)
    assert "First" not in text_of(second)
    assert "Not for her" not in text_of(second)
    assert sent(post) == 2


async def test_digest_is_sent_once_however_often_one_looks(post: Mailboxes) -> None:
    await post.open()
    await post.hold()
    await post.tomorrow()
    for _ in range(3):
        await post.keeper.send_due()
        post.house.clock.advance(LEASE_SECONDS)
    fresh = mailboxes()
    fresh.keeper._digests = post.house.store.digests
    fresh.keeper._accounts = post.house.store.accounts
    fresh.keeper._clock = post.house.clock
    await fresh.keeper.send_due()

    assert len(post.mails) == 1
    assert not fresh.mails
    await fresh.house.close()


async def test_hosts_that_look_at_once_send_one_digest(post: Mailboxes) -> None:
    await post.open()
    await post.hold()
    post.house.clock.advance(DAY_SECONDS)
    other = mailboxes().keeper
    for name in ("_digests", "_accounts", "_clock", "_review", "_tickets", "_relay"):
        setattr(other, name, getattr(post.keeper, name))

    await asyncio.gather(post.keeper.send_due(), other.send_due())

    assert len(post.mails) == 1


async def test_nothing_new_is_no_mail(post: Mailboxes) -> None:
    await post.open()
    await post.hold()
    await post.tomorrow()
    for _ in range(3):
        await post.tomorrow()

    assert len(post.mails) == 1


async def test_released_message_is_not_told_of(post: Mailboxes) -> None:
    await post.open()
    id = await post.hold()
    await post.house.store.delete_held(id, "bob")
    await post.tomorrow()

    assert not post.mails


async def test_digest_that_was_missed_is_in_the_next(post: Mailboxes) -> None:
    await post.open()
    await post.hold(subject="First")
    await post.tomorrow()
    await post.hold(subject="Second")
    post.house.clock.advance(3 * DAY_SECONDS)
    await post.hold(subject="Third")
    await post.tomorrow()

    assert "Second" in text_of(post.mails[1])
    assert "Third" in text_of(post.mails[1])


@pytest.mark.parametrize(
    ("trouble", "result"),
    [
        (RelayUnavailable("no route"), "failed"),
        (RelayAmbiguous("silent"), "failed"),
        (Reply(code=451, enhanced="4.7.1", lines=("later",)), "refused"),
        (Reply(code=550, enhanced="5.7.1", lines=("ann@example.org never",)), "refused"),
    ],
    ids=["away", "silent", "later", "never"],
)
async def test_digest_that_is_not_taken_is_tried_again(
    post: Mailboxes, trouble: Exception | Reply, result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await post.open()
    await post.hold(subject="First")
    taking = post.hop.reply
    post.hop.reply = trouble if isinstance(trouble, Exception) else (lambda _envelope: trouble)
    await post.tomorrow()
    post.house.clock.advance(RETRY_SECONDS - 1)
    await post.keeper.send_due()
    assert sent(post, result) == 1
    assert not post.mails

    post.hop.reply = taking
    post.house.clock.advance(REST_SECONDS)
    await post.keeper.send_due()

    assert "First" in text_of(post.mails[0])
    assert sent(post) == 1
    assert ANN not in capsys.readouterr().err


async def test_digest_that_was_taken_and_not_written_down_comes_again_with_its_message_id(post: Mailboxes) -> None:
    """As after a process that died in between; the links of both mails work."""
    await post.open()
    await post.hold()
    store = post.house.store

    class Dying(RecordingRelay):
        async def send(self, *message: object) -> Reply:
            reply = await super().send(*message)  # type: ignore[arg-type]  # passed on as they came
            store.failure = StoreUnavailable("power cut")
            return reply

    post.keeper._relay = post.hop = Dying()
    with pytest.raises(StoreUnavailable):
        await post.tomorrow()
    store.failure = None
    post.keeper._relay = again = RecordingRelay()
    await post.keeper.send_due()
    assert not again.sent
    post.house.clock.advance(LEASE_SECONDS)
    await post.keeper.send_due()
    await post.tomorrow()

    first, (second,) = post.mails[0], Mailboxes(post.house, post.keeper, again).mails
    assert first["message-id"] == second["message-id"]
    stranger = post.house.stranger()
    for link in (links_of(first)[0], links_of(second)[0]):
        assert (await stranger.get(link)).status_code == 200


async def test_each_digest_has_a_message_id_of_its_own(post: Mailboxes) -> None:
    for name in (ANN, BOB):
        await post.open(name)
    for _ in range(2):
        await post.hold(ANN, BOB)
        await post.tomorrow()

    assert len({mail["message-id"] for mail in post.mails}) == 4


@pytest.mark.parametrize(
    "more",
    [
        {"is_disabled": True},
        {"role": Role.AUDITOR},
        {"digest": Schedule.of("off 07:00 UTC")},
        {"name": "ann", "addresses": ("15550001",)},
        {"addresses": ()},
    ],
    ids=["disabled", "auditor", "off", "no mailbox", "no addresses"],
)
async def test_some_get_no_digest(post: Mailboxes, more: dict[str, Any]) -> None:
    await post.open(**more)
    await post.hold()
    await post.tomorrow()

    assert not post.mails


@pytest.mark.parametrize(
    ("addresses", "mailbox"),
    [((ANN,), ANN), (("new@example.org",), "new@example.org"), (("15550001", "a@example.org", ANN), ANN)],
    ids=["name", "name was theirs once", "name is one of them"],
)
async def test_digest_goes_to_an_address_that_is_theirs_now(
    post: Mailboxes, addresses: tuple[str, ...], mailbox: str
) -> None:
    await post.open(addresses=addresses)
    await post.hold(mailbox)
    await post.tomorrow()

    assert [r.address for r in post.hop.sent[0][0].recipients] == [mailbox]


async def test_digest_comes_when_one_chose(post: Mailboxes) -> None:
    """The clock starts at midnight, UTC, on a Thursday."""
    await post.open(digest=Schedule.of("workdays 15:00 Asia/Kathmandu"))
    await post.hold()
    for hours in (9, 0.25):
        await post.keeper.send_due()
        assert not post.mails
        post.house.clock.advance(3600.0 * hours)
    await post.keeper.send_due()

    assert len(post.mails) == 1


@pytest.mark.parametrize(
    ("role", "more", "subjects"),
    [
        (Role.USER, {}, {"Hers"}),
        (Role.ADMINISTRATOR, {}, {"Hers"}),
        (Role.MODERATOR, {"domains": ("example.org",)}, {"Hers", "His"}),
    ],
)
async def test_digest_tells_of_what_one_looks_after(
    post: Mailboxes, role: Role, more: dict[str, Any], subjects: set[str]
) -> None:
    """An administrator, who reaches everything, is told of their own."""
    await post.open(role=role, **more)
    await post.hold(ANN, subject="Hers")
    await post.hold(BOB, subject="His")
    await post.hold("eve@example.com", subject="Elsewhere")
    await post.tomorrow()

    text = text_of(post.mails[0])
    assert {subject for subject in ("Hers", "His", "Elsewhere") if subject in text} == subjects


async def test_other_recipients_are_not_told_of(post: Mailboxes) -> None:
    await post.open()
    await post.hold(ANN, BOB)
    await post.tomorrow()

    assert BOB not in post.hop.sent[0][1].decode()


async def test_long_digest_says_how_many_more_there_are() -> None:
    post = mailboxes(max_items=2)
    await post.open()
    for n in range(3):
        await post.hold(subject=f"Offer {n}")
    await post.tomorrow()

    (mail,) = post.mails
    assert mail["subject"] == "3 new messages in the quarantine"
    assert "Offer 0" not in text_of(mail)
    assert "More of them: http://filter.local/quarantine" in text_of(mail)
    assert len(links_of(mail)) == 8
    await post.house.close()


async def test_digest_goes_to_the_next_hop_from_nobody(post: Mailboxes) -> None:
    await post.open()
    await post.hold()
    await post.tomorrow()

    ((envelope, _),) = post.hop.sent
    assert envelope.sender == ""
    assert [r.address for r in envelope.recipients] == [ANN]
