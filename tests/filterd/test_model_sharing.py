"""Hosts on one database agree on the bundle that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.errors import BundleError, StoreUnavailable
from filterd.inference.agreed import AGREED_FILE, AgreedRegistry
from filterd.inference.registry import Registry
from filterd.model_ports import SharedPointer
from filterd.model_sharing import ModelSharing
from filterd.testing import MemoryStore
from tests.filterd.tiny_bundle import write_bundle


class Host:
    """One host's registry, on a database that others use too."""

    def __init__(self, folder: Path, store: MemoryStore) -> None:
        self.directory = folder / "models"
        self.bundles = folder / "bundles"
        self.registry = Registry(self.directory, folder / "packaged")
        self.sharing = ModelSharing(lambda: AgreedRegistry(self.registry, self.directory), store.models)

    def promote(self, id: str) -> None:
        """Publish a bundle here and put it into service here."""
        if not self.registry.folder(Channel.SMS, id).exists():
            self.registry.publish(write_bundle(self.bundles / id, Channel.SMS, id=id))
        self.registry.promote(Channel.SMS, id)

    @property
    def serving(self) -> str | None:
        return self.registry.current(Channel.SMS)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def hosts(tmp_path: Path, store: MemoryStore) -> list[Host]:
    return [Host(tmp_path / f"host{n}", store) for n in range(3)]


async def met(hosts: list[Host]) -> list[str | None]:
    """What each host serves after all have met."""
    for host in hosts:
        await host.sharing.meet()
    return [host.serving for host in hosts]


async def test_promotion_when_made_on_one_host_then_every_host_serves_that_bundle(hosts: list[Host]) -> None:
    """A host that has not got the bundle receives it from the database, octet for octet."""
    hosts[0].promote("sms-a")

    assert await met(hosts) == ["sms-a"] * 3
    ours, theirs = (host.registry.folder(Channel.SMS, "sms-a") for host in (hosts[0], hosts[2]))
    assert {p.name: p.read_bytes() for p in ours.iterdir()} == {p.name: p.read_bytes() for p in theirs.iterdir()}


async def test_roll_back_when_made_on_another_host_then_every_host_follows(hosts: list[Host]) -> None:
    """It does not matter where a bundle was promoted first, and what was previous is previous everywhere."""
    hosts[0].promote("sms-a")
    await met(hosts)
    hosts[1].promote("sms-b")
    await met(hosts[1:] + hosts[:1])
    assert [host.registry.previous(Channel.SMS) for host in hosts] == ["sms-a"] * 3

    hosts[2].registry.promote(Channel.SMS, "sms-a")

    assert await met(hosts[2:] + hosts[:2]) == ["sms-a"] * 3


async def test_package_when_served_again_on_one_host_then_served_on_all(hosts: list[Host]) -> None:
    """Going back to the package's own bundle is a promotion like any other."""
    hosts[0].promote("sms-a")
    await met(hosts)

    hosts[1].registry.serve_packaged(Channel.SMS)

    assert await met(hosts[1:] + hosts[:1]) == [None] * 3


async def test_hosts_when_both_promote_then_the_first_the_database_heard_serves_on_all(hosts: list[Host]) -> None:
    """Whoever comes second follows, and nobody is left alone with another bundle."""
    hosts[0].promote("sms-a")
    hosts[1].promote("sms-b")

    assert await met(hosts) == ["sms-a"] * 3


async def test_promotion_when_the_database_is_away_then_told_when_it_is_back(
    hosts: list[Host], store: MemoryStore
) -> None:
    """What is promoted meanwhile serves on its host at once, and on the others later."""
    hosts[0].promote("sms-a")
    store.failure = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable):
        await hosts[0].sharing.meet()
    assert hosts[0].serving == "sms-a"

    store.failure = None

    assert await met(hosts) == ["sms-a"] * 3


async def test_host_when_it_comes_late_then_it_follows_the_others(hosts: list[Host]) -> None:
    """What an old host had promoted long ago is not what counts."""
    hosts[0].promote("sms-a")
    await met(hosts[:1])
    hosts[2].promote("sms-old")

    await hosts[2].sharing.meet()

    assert hosts[2].serving == "sms-a"


async def test_bundle_when_damaged_in_the_database_then_the_incumbent_stays(
    hosts: list[Host], store: MemoryStore
) -> None:
    """A bundle is checked before it is published, wherever it came from."""
    hosts[0].promote("sms-a")
    await met(hosts)
    write_bundle(hosts[0].bundles / "sms-b", Channel.SMS, id="sms-b")
    files = {path.name: path.read_bytes() for path in (hosts[0].bundles / "sms-b").iterdir()}
    damaged = {**files, "model.onnx": b"something else"}
    assert await store.models.point(Channel.SMS, SharedPointer(number=2, id="sms-b"), damaged, "evil")

    with pytest.raises(BundleError):
        await hosts[1].sharing.meet()

    assert hosts[1].serving == "sms-a"


async def test_memory_of_what_was_agreed_when_lost_then_the_others_are_heard_again(hosts: list[Host]) -> None:
    """A file that cannot be read is no reason to tell the others what was promoted here long ago."""
    hosts[0].promote("sms-a")
    await met(hosts)
    hosts[1].promote("sms-b")
    await met(hosts[1:])
    (hosts[0].directory / "sms" / AGREED_FILE).write_text("?", encoding="ascii")

    assert await met(hosts[:1]) == ["sms-b"]
