"""Links of digests: looking changes nothing, the button works once, in the name and within the reach of the account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from filterd.core.access import Role
from filterd.core.overlay import ListEntry, ListKind
from filterd.core.verdict import Label, Reply
from filterd.errors import RelayUnavailable
from filterd.ports import HeldState
from filterd.review_ports import HeldQuery
from tests.filterd.digest_mailbox import ANN, BOB, DAY_SECONDS, SPAMMER, Mailboxes, links_of, mailboxes

RELEASE, TEACH, ALLOW, DELETE = range(4)


@pytest.fixture
async def post() -> AsyncIterator[Mailboxes]:
    made = mailboxes()
    await made.open()
    yield made
    await made.house.close()


async def links(post: Mailboxes, *recipients: str) -> list[str]:
    """The links of a digest on one message."""
    await post.hold(*recipients)
    await post.tomorrow()
    return links_of(post.mails[-1])


async def held(post: Mailboxes) -> list[tuple[str, ...]]:
    """Recipients of what is in the quarantine."""
    found = await post.house.store.review.list_held(HeldQuery(states=frozenset({HeldState.HELD})))
    return [row.recipients for row in found]


async def test_d10_link_scanner_that_follows_every_link_changes_nothing(post: Mailboxes) -> None:
    paths = await links(post)
    scanner = post.house.stranger()
    for path in paths * 2:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await scanner.client.request(method, path)
            assert answer.status_code in {200, 405}

    assert await held(post) == [(ANN,)]
    assert not post.delivered
    assert not await post.house.store.rules.list()
    for path in paths:
        assert "<form" in (await scanner.get(path)).text


async def test_d10_page_says_what_will_happen_to_which_message_and_shows_no_body(post: Mailboxes) -> None:
    paths = await links(post)
    page = await post.house.stranger().get(paths[TEACH])

    for part in ("Release and teach", "Cheap watches", SPAMMER, ANN, "near copies of it pass from now on"):
        assert part in page.text
    assert "nobody may see" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.text.count("<button") == 1


async def test_d10_button_releases_once(post: Mailboxes) -> None:
    path = (await links(post))[RELEASE]
    stranger = post.house.stranger()
    first, second = await stranger.client.post(path), await stranger.client.post(path)

    assert "Done." in first.text
    assert "used already" in second.text
    assert (first.status_code, second.status_code) == (200, 200)
    assert post.delivered == [(ANN,)]
    assert "used already" in (await stranger.get(path)).text
    assert not list(post.house.store.ledger.standing())


async def test_d10_button_that_is_pressed_ten_times_at_once_releases_once(post: Mailboxes) -> None:
    path = (await links(post))[RELEASE]
    stranger = post.house.stranger()
    answers = await asyncio.gather(*(stranger.client.post(path) for _ in range(10)))

    assert sum("Done." in answer.text for answer in answers) == 1
    assert post.delivered == [(ANN,)]


async def test_teaching_releases_and_labels(post: Mailboxes) -> None:
    path = (await links(post))[TEACH]
    await post.house.stranger().client.post(path)

    (label,) = post.house.store.ledger.standing()
    assert (label.label, label.reporter) == (Label.HAM, ANN)
    assert post.delivered == [(ANN,)]


async def test_allowing_releases_and_lets_the_sender_through_to_this_recipient(post: Mailboxes) -> None:
    path = (await links(post))[ALLOW]
    await post.house.stranger().client.post(path)

    (row,) = await post.house.store.rules.list()
    assert row.given.rule == ListEntry.of(ANN, ListKind.ALLOW, SPAMMER)
    assert row.given.by == ANN
    assert post.delivered == [(ANN,)]


async def test_deleting_deletes(post: Mailboxes) -> None:
    path = (await links(post))[DELETE]
    await post.house.stranger().client.post(path)

    assert not await held(post)
    assert not post.delivered


async def test_second_link_of_the_same_message_finds_it_gone(post: Mailboxes) -> None:
    paths = await links(post)
    stranger = post.house.stranger()
    await stranger.client.post(paths[RELEASE])
    answer = await stranger.client.post(paths[DELETE])

    assert "no longer in the quarantine" in answer.text
    assert "<form" not in answer.text


async def test_d10_link_reaches_the_recipients_of_its_account_only(post: Mailboxes) -> None:
    path = (await links(post, ANN, BOB))[RELEASE]
    page = await post.house.stranger().get(path)
    assert BOB not in page.text
    await post.house.stranger().client.post(path)

    assert post.delivered == [(ANN,)]
    assert await held(post) == [(BOB,)]


async def test_d10_link_of_an_administrator_reaches_no_more_than_their_digest(post: Mailboxes) -> None:
    await post.open("root@example.org", role=Role.ADMINISTRATOR)
    await post.hold("root@example.org", BOB)
    await post.tomorrow()
    (path, *_) = links_of(post.mails[-1])
    await post.house.stranger().client.post(path)

    assert post.delivered == [("root@example.org",)]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"addresses": (BOB,)}, 200), ({"is_disabled": True}, 404), ({"role": Role.AUDITOR}, 404)],
    ids=["lost-address", "disabled", "auditor"],
)
async def test_d10_link_of_who_may_no_more_does_nothing(
    post: Mailboxes, change: dict[str, object], status: int
) -> None:
    path = (await links(post))[RELEASE]
    account = await post.house.store.accounts.find_account(ANN)
    assert account is not None
    await post.house.store.accounts.change_account(replace(account, **change), "root")  # type: ignore[arg-type]
    answer = await post.house.stranger().client.post(path)

    assert answer.status_code == status
    assert "Cheap watches" not in answer.text
    assert await held(post) == [(ANN,)]
    assert not post.delivered


async def test_d10_expired_link_says_so_and_does_nothing(post: Mailboxes) -> None:
    path = (await links(post))[RELEASE]
    post.house.clock.advance(5 * DAY_SECONDS)
    stranger = post.house.stranger()
    for answer in (await stranger.get(path), await stranger.client.post(path)):
        assert answer.status_code == 410
        assert "has expired" in answer.text
        assert "<form" not in answer.text

    assert await held(post) == [(ANN,)]


@pytest.mark.parametrize("secret", ["x" * 43, "x", "..", "%2e%2e%2fetc", "a" * 2_000, "%00", "\u00e4"])
async def test_d10_link_that_was_made_up_leads_nowhere(post: Mailboxes, secret: str) -> None:
    await links(post)
    for method in ("GET", "POST"):
        assert (await post.house.stranger().client.request(method, f"/d/{secret}")).status_code in {303, 404, 405}

    assert await held(post) == [(ANN,)]


@pytest.mark.parametrize(
    ("trouble", "status"), [(RelayUnavailable("away"), 503), (Reply(code=550, lines=("no",)), 409)], ids=["away", "no"]
)
async def test_link_works_again_after_the_next_hop_did_not_take_the_message(
    post: Mailboxes, trouble: Exception | Reply, status: int
) -> None:
    path = (await links(post))[RELEASE]
    stranger, taking = post.house.stranger(), post.house.relay.reply
    post.house.relay.reply = trouble if isinstance(trouble, Exception) else (lambda _envelope: trouble)
    assert (await stranger.client.post(path)).status_code == status
    assert await held(post) == [(ANN,)]
    post.house.relay.reply = taking
    answer = await stranger.client.post(path)

    assert "Done." in answer.text
    assert post.delivered == [(ANN,)]


async def test_d10_button_that_another_site_presses_does_nothing(post: Mailboxes) -> None:
    path = (await links(post))[RELEASE]
    answer = await post.house.stranger().client.post(path, headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403
    assert await held(post) == [(ANN,)]


async def test_d10_link_signs_nobody_in(post: Mailboxes) -> None:
    path = (await links(post))[RELEASE]
    stranger = post.house.stranger()
    await stranger.get(path)
    await stranger.client.post(path)

    assert not stranger.client.cookies
    assert (await stranger.get("/account")).status_code == 303
