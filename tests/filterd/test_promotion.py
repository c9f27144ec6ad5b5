"""Who changes models is written down, and what was seen before is still so."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.errors import BundleError, NotFound, StoreUnavailable, UsageError
from filterd.inference.registry import Registry
from filterd.model_ports import Trial
from filterd.promotion import Promoter
from filterd.testing import MemoryStore
from tests.filterd.tiny_bundle import write_bundle

PACKAGED, FIRST, SECOND = (f"email-2026010{n}T000000-0000000{n}" for n in range(3))
EMAIL = Channel.EMAIL


class Shop:
    """A registry with two published bundles beside the packaged one, and a store."""

    def __init__(self, folder: Path) -> None:
        write_bundle(folder / "package" / "email", EMAIL, id=PACKAGED)
        self.folder = folder / "models" / "email"
        self.registry = Registry(folder / "models", folder / "package")
        for id in (FIRST, SECOND):
            self.registry.publish(write_bundle(folder / "sources" / id, EMAIL, id=id))
        self.store = MemoryStore()
        self.promoter = Promoter(lambda: self.registry, self.store)

    def events(self) -> list[tuple[str, str, str]]:
        return [(event, target, by) for event, target, by, _ in self.store.notes]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def test_every_change_is_in_the_audit_trail_with_who_made_it(shop: Shop) -> None:
    promoter = shop.promoter
    await promoter.promote(EMAIL, FIRST, "ann")
    await promoter.promote(EMAIL, SECOND, "ann")
    await promoter.roll_back(EMAIL, "bob")
    await promoter.try_out(EMAIL, Trial(id=SECOND, share=0.1, decides=True), "bob")
    await promoter.end_trial(EMAIL, "bob")
    await promoter.end_trial(EMAIL, "bob")

    assert shop.registry.current(EMAIL) == FIRST
    assert shop.events() == [
        ("promoted", FIRST, "ann"),
        ("promoted", SECOND, "ann"),
        ("rolled back to", FIRST, "bob"),
        ("canary", SECOND, "bob"),
        ("trial ended", SECOND, "bob"),
    ]


async def test_models_change_without_a_database_and_it_is_said(shop: Shop) -> None:
    shop.store.failure = StoreUnavailable("away")

    changed = await shop.promoter.promote(EMAIL, FIRST, "ann")

    assert changed.unaudited == "away"
    assert shop.registry.current(EMAIL) == FIRST


async def test_promotion_of_what_was_seen_before_somebody_else_s_is_refused(shop: Shop) -> None:
    await shop.promoter.promote(EMAIL, FIRST, "ann", instead_of=PACKAGED)

    with pytest.raises(UsageError, match=FIRST):
        await shop.promoter.promote(EMAIL, SECOND, "bob", instead_of=PACKAGED)

    assert shop.registry.current(EMAIL) == FIRST


async def test_roll_back_to_another_than_was_seen_is_refused(shop: Shop) -> None:
    await shop.promoter.promote(EMAIL, FIRST, "ann")
    await shop.promoter.promote(EMAIL, SECOND, "ann")

    with pytest.raises(UsageError, match=FIRST):
        await shop.promoter.roll_back(EMAIL, "bob", to=PACKAGED)

    assert shop.registry.current(EMAIL) == SECOND


async def test_first_promotion_is_rolled_back_to_the_package(shop: Shop) -> None:
    await shop.promoter.promote(EMAIL, FIRST, "ann")

    changed = await shop.promoter.roll_back(EMAIL, "ann", to=PACKAGED)

    assert changed.id == PACKAGED
    assert shop.registry.serving(EMAIL) == shop.registry.packaged(EMAIL)
    with pytest.raises(UsageError):
        await shop.promoter.roll_back(EMAIL, "ann")


async def test_packaged_bundle_is_promoted_like_any_other(shop: Shop) -> None:
    await shop.promoter.promote(EMAIL, FIRST, "ann")

    await shop.promoter.promote(EMAIL, PACKAGED, "ann", instead_of=FIRST)

    assert shop.registry.current(EMAIL) is None


@pytest.mark.parametrize(("id", "error"), [("nothing", NotFound), ("../x", UsageError)])
async def test_unknown_bundle_changes_nothing(shop: Shop, id: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await shop.promoter.promote(EMAIL, id, "ann")

    assert not shop.events()


async def test_damaged_bundle_changes_nothing(shop: Shop) -> None:
    (shop.folder / FIRST / "model.onnx").write_bytes(b"")

    with pytest.raises(BundleError):
        await shop.promoter.promote(EMAIL, FIRST, "ann")

    assert shop.registry.current(EMAIL) is None
    assert not shop.events()
