"""What every store does for hosts that share models, whatever it is made of."""

from __future__ import annotations

from filterd.core.envelope import Channel
from filterd.model_ports import SharedPointer
from tests.contract.stores import Store

FILES = {"model.onnx": b"\x00\xff" * 1000, "bundle.json": b"{}"}


def pointer(number: int, id: str) -> SharedPointer:
    return SharedPointer(number=number, id=id)


async def test_pointer_when_set_then_another_host_sees_it_and_the_files(store: Store, other: Store) -> None:
    """Both come together: whoever sees the pointer can fetch the bundle."""
    assert await other.models.pointers() == {}

    assert await store.models.point(Channel.SMS, pointer(1, "a"), FILES, "host1")

    assert await other.models.pointers() == {Channel.SMS: pointer(1, "a")}
    assert await other.models.files(Channel.SMS, "a") == FILES
    assert await other.models.files(Channel.EMAIL, "a") == {}


async def test_pointer_when_another_host_was_first_then_nothing_changes(store: Store, other: Store) -> None:
    """The number says what a host has seen; who has not seen the newest cannot overwrite it."""
    assert await store.models.point(Channel.SMS, pointer(1, "a"), FILES, "host1")

    assert not await other.models.point(Channel.SMS, pointer(1, "b"), {"x": b"1"}, "host2")
    assert not await other.models.point(Channel.SMS, pointer(3, "b"), {"x": b"1"}, "host2")

    assert await store.models.pointers() == {Channel.SMS: pointer(1, "a")}
    assert await store.models.files(Channel.SMS, "b") == {}


async def test_files_when_the_pointer_moves_on_then_those_of_the_last_two_bundles_are_kept(store: Store) -> None:
    """One can roll back everywhere; older bundles do not fill the database."""
    for number, id in enumerate(("a", "b", "c"), 1):
        assert await store.models.point(Channel.SMS, pointer(number, id), FILES, "host1")

    assert [bool(await store.models.files(Channel.SMS, id)) for id in "abc"] == [False, True, True]


async def test_package_when_it_serves_then_no_files_are_needed(store: Store) -> None:
    """An empty id is the bundle in the package."""
    assert await store.models.point(Channel.EMAIL, pointer(1, ""), {}, "host1")

    assert await store.models.pointers() == {Channel.EMAIL: pointer(1, "")}
