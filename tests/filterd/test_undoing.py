"""Undoing reaches the books and the registry, for those who may, and says which bundles had seen the labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from filterd.account_ports import Scope
from filterd.core.bundle import SPEC_FILE
from filterd.core.envelope import Channel
from filterd.core.verdict import Feedback, Label
from filterd.deed_ports import DeedKind, Selection, Undone
from filterd.errors import BundleError
from filterd.inference.registry import WITHDRAWN_FILE, Registry
from filterd.log import AddressMask, Events, get_logger
from filterd.testing import FixedClock, MemoryStore
from filterd.undoing import Undoing
from tests.contract.stores import envelope, nth, verdict
from tests.filterd.test_api import ID, Api, api
from tests.filterd.tiny_bundle import write_bundle

__all__ = ["api"]

SMS = Channel.SMS
PROMOTIONS = frozenset({DeedKind.PROMOTION})


@dataclass
class Site:
    """A store and a registry whose second bundle serves."""

    store: MemoryStore
    registry: Registry
    undoing: Undoing
    folder: Path


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    clock = FixedClock()
    store, registry = MemoryStore(clock), Registry(tmp_path / "models", packaged=tmp_path / "packaged")
    write_bundle(tmp_path / "packaged" / "sms", SMS, id="sms-packaged")
    for id, bias in (("sms-1", 0.0), ("sms-2", -1.0)):
        registry.promote(SMS, registry.publish(write_bundle(tmp_path / "made" / id, SMS, id=id, bias=bias)))
        await store.note("promoted", id, "root")
    events = Events(get_logger(), AddressMask(b"key"))
    return Site(store, registry, Undoing(store.deeds, lambda: registry, events=events), tmp_path)


async def test_promotion_when_undone_puts_the_bundle_before_it_into_service_and_is_not_repeated(site: Site) -> None:
    meant = Selection(by="root", kinds=PROMOTIONS)
    rehearsed = await site.undoing.rehearse(meant, "ann")
    assert rehearsed.undone.promotions == ("sms-1", "sms-2")
    assert site.registry.current(SMS) == "sms-2"

    found = await site.undoing.undo(meant, "ann")

    assert dict(found.serving) == {SMS: "sms-packaged"}
    assert site.registry.current(SMS) is None
    assert site.registry.locate()[SMS] == site.folder / "packaged" / "sms"
    assert all(site.registry.is_withdrawn(SMS, id) for id in ("sms-1", "sms-2"))
    assert (await site.undoing.undo(meant, "ann")).undone == Undone()

    site.registry.promote(SMS, "sms-1")
    assert not site.registry.is_withdrawn(SMS, "sms-1")
    assert site.registry.is_withdrawn(SMS, "sms-2")


async def test_promotion_of_a_bundle_that_serves_no_longer_when_undone_leaves_the_one_that_does(site: Site) -> None:
    site.registry.withdraw(SMS, "sms-1")

    assert (site.registry.current(SMS), site.registry.previous(SMS)) == ("sms-2", None)


async def test_registry_that_cannot_be_written_leaves_the_promotion_standing(site: Site) -> None:
    (site.folder / "models" / "sms" / WITHDRAWN_FILE).write_text("../escape\n")

    with pytest.raises(BundleError):
        await site.undoing.undo(Selection(by="root"), "ann")

    assert len(await site.undoing.find(Selection(kinds=PROMOTIONS))) == 2
    assert site.registry.current(SMS) == "sms-2"


async def test_undone_labels_are_said_to_have_been_seen_by_the_bundles_that_were_taught_them(site: Site) -> None:
    for n in (1, 2, 3):
        await site.store.record(verdict(envelope(n)))
        given = Feedback(
            message_id=nth(n), label=Label.SPAM, reporter=f"r{n}", given_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        await site.store.add_feedback(given)
    for id, lineage in (("sms-1", [[1, 1]]), ("sms-2", [[1, 2]])):
        path = site.folder / "models" / "sms" / id / SPEC_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {"lineage": lineage}))

    assert (await site.undoing.rehearse(Selection(by="r1"), "ann")).seen_by == ("sms-1", "sms-2")
    assert (await site.undoing.undo(Selection(by="r2"), "ann")).seen_by == ("sms-2",)
    assert (await site.undoing.undo(Selection(by="r3"), "ann")).seen_by == ()


# The API

ALLOW = {"kind": "allow", "scope": "bob@example.net", "entry": "friend.example"}


async def _everything(api: Api) -> None:
    """A label and an entry of the administrator's token, and one of each of the others'."""
    for scope in (Scope.ADMIN, Scope.FEEDBACK):
        await api.call("POST", "/feedback", scope, {"id": ID, "label": "spam"})
    await api.call("POST", "/rules", Scope.ADMIN, ALLOW)
    await api.call("POST", "/rules", Scope.RULES, ALLOW | {"entry": "other.example"})
    await api.call("POST", f"/quarantine/{ID}/release", Scope.QUARANTINE, {"label_ham": True})


async def _standing(api: Api) -> set[tuple[str, str]]:
    events = (await api.call("GET", "/events", Scope.ADMIN)).json()["events"]
    return {(event["kind"], event["by"]) for event in events}


@pytest.mark.parametrize(
    ("bearer", "gone"),
    [
        (Scope.FEEDBACK, {("label", "feedback")}),
        (Scope.RULES, {("allow", "rules")}),
        (Scope.QUARANTINE, {("release", "quarantine"), ("label", "quarantine")}),
    ],
)
async def test_token_takes_back_its_own_and_of_its_own_kinds_only(
    api: Api, bearer: Scope, gone: set[tuple[str, str]]
) -> None:
    await _everything(api)
    before = await _standing(api)

    for by in ("", "admin"):
        assert (await api.call("POST", "/undo", bearer, {"by": by, "message": ""})).status_code == 200

    assert before - await _standing(api) == gone


async def test_administrator_takes_back_what_is_selected_and_hears_what_it_is(api: Api) -> None:
    await _everything(api)

    rehearsed = (await api.call("POST", "/undo", Scope.ADMIN, {"message": ID, "dry_run": True})).json()
    undone = (await api.call("POST", "/undo", Scope.ADMIN, {"message": ID})).json()

    assert rehearsed == undone
    assert undone == {
        "labels": [1, 2, 3],
        "rules": [],
        "releases": [ID],
        "promotions": [],
        "seen_by": [],
        "serving": {},
    }
    assert await _standing(api) == {("allow", "admin"), ("allow", "rules")}


@pytest.mark.parametrize(
    ("bearer", "body", "status"),
    [
        (None, {"by": "x"}, 401),
        (Scope.ADMIN, {}, 409),
        (Scope.ADMIN, {"kinds": ["label"]}, 409),
        (Scope.FEEDBACK, {"kinds": ["allow"]}, 403),
        (Scope.RULES, {"kinds": ["promotion"]}, 403),
        (Scope.ADMIN, {"campaign": "f" * 32}, 404),
        (Scope.ADMIN, {"kinds": ["deed"], "by": "x"}, 422),
        (Scope.ADMIN, {"reporter": "x"}, 422),
    ],
)
async def test_undo_that_may_not_be_changes_nothing(
    api: Api, bearer: Scope | None, body: dict[str, Any], status: int
) -> None:
    await _everything(api)
    before = await _standing(api)

    response = await api.call("POST", "/undo", bearer, body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert await _standing(api) == before
