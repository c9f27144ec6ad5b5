"""What bundles there are is told as far as it can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.errors import NotFound
from filterd.inference.registry import Registry
from filterd.inference.shelf import Shelf, Standing, shelf_of
from filterd.model_ports import Trial
from tests.filterd.tiny_bundle import write_bundle

PACKAGED, FIRST, SECOND = (f"email-2026010{n}T000000-0000000{n}" for n in range(3))
EMAIL = Channel.EMAIL


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    write_bundle(tmp_path / "package" / "email", EMAIL, id=PACKAGED)
    registry = Registry(tmp_path / "models", tmp_path / "package")
    for id in (FIRST, SECOND):
        registry.publish(write_bundle(tmp_path / "sources" / id, EMAIL, id=id))
    return registry


def standings(shelf: Shelf) -> dict[str, set[Standing]]:
    return {version.id: set(version.standings) for version in shelf.versions}


def test_bundles_are_named_newest_first_with_what_they_are_there_for(registry: Registry) -> None:
    registry.promote(EMAIL, FIRST)
    registry.promote(EMAIL, SECOND)
    registry.try_out(EMAIL, Trial(id=FIRST, share=0.5))

    shelf = shelf_of(registry, EMAIL)

    assert list(standings(shelf)) == [SECOND, FIRST, PACKAGED]
    assert standings(shelf) == {
        SECOND: {Standing.IN_SERVICE},
        FIRST: {Standing.PREVIOUS, Standing.ON_TRIAL},
        PACKAGED: {Standing.PACKAGED},
    }
    assert not shelf.trouble


def test_before_the_first_promotion_the_packaged_bundle_serves_and_is_what_one_rolls_back_to(
    registry: Registry,
) -> None:
    assert standings(shelf_of(registry, EMAIL))[PACKAGED] == {Standing.PACKAGED, Standing.IN_SERVICE}
    assert not shelf_of(registry, EMAIL).previous

    registry.promote(EMAIL, FIRST)

    assert shelf_of(registry, EMAIL).previous == PACKAGED


def test_pinned_bundle_serves_whatever_is_promoted(registry: Registry, tmp_path: Path) -> None:
    registry.promote(EMAIL, FIRST)

    shelf = shelf_of(registry, EMAIL, str(tmp_path / "sources" / SECOND))

    assert shelf.is_pinned
    assert shelf.in_service is not None
    assert shelf.in_service.folder == tmp_path / "sources" / SECOND


@pytest.mark.parametrize("name", ["current", "trial"])
def test_unreadable_pointer_hides_no_bundle(registry: Registry, tmp_path: Path, name: str) -> None:
    registry.promote(EMAIL, FIRST)
    (tmp_path / "models" / "email" / name).write_bytes(b"\xff\n")

    shelf = shelf_of(registry, EMAIL)

    assert name in shelf.trouble
    assert {FIRST, SECOND, PACKAGED} <= set(standings(shelf))


def test_damaged_bundle_is_named_with_its_trouble(registry: Registry, tmp_path: Path) -> None:
    registry.promote(EMAIL, FIRST)
    (tmp_path / "models" / "email" / FIRST / "bundle.json").write_text("{", encoding="utf-8")

    version = shelf_of(registry, EMAIL).find(FIRST)

    assert version.spec is None
    assert "bundle.json" in version.trouble
    assert version.is_in_service


def test_unknown_bundle_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound):
        shelf_of(registry, EMAIL).find("../../etc")
