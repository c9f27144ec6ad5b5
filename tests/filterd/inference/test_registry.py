import os
from pathlib import Path

import pytest

from filterd.core.bundle import MODEL_FILE, PROBES_FILE, SPEC_FILE
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ChecksumMismatch, ContractMismatch, NotFound, UsageError
from filterd.inference.registry import POINTER_FILE, TRIAL_FILE, Registry, read_bundle
from filterd.model_ports import Trial
from tests.filterd.tiny_bundle import write_bundle

SMS = Channel.SMS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "source", SMS, id="sms-one")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", packaged=tmp_path / "packaged")


def test_read_bundle_when_whole_gives_spec_model_and_probes(source: Path) -> None:
    bundle = read_bundle(source)

    assert bundle.spec.id == "sms-one"
    assert bundle.model == (source / MODEL_FILE).read_bytes()
    assert len(bundle.probes) == 2


@pytest.mark.parametrize("name", [MODEL_FILE, PROBES_FILE])
def test_read_bundle_when_a_file_changed_refuses(source: Path, name: str) -> None:
    data = bytearray((source / name).read_bytes())
    data[len(data) // 2] ^= 1
    (source / name).write_bytes(data)

    with pytest.raises(ChecksumMismatch, match=name):
        read_bundle(source)


@pytest.mark.parametrize("name", [MODEL_FILE, PROBES_FILE, SPEC_FILE])
def test_read_bundle_when_a_file_is_missing_names_it(source: Path, name: str) -> None:
    (source / name).unlink()

    with pytest.raises(BundleError, match=name):
        read_bundle(source)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"format": 1', '"format": 9'), ('"sha', "{{"), ('"lenient"', '"loose"'), ('"grams": 6', '"grams": -6')],
)
def test_read_bundle_when_the_spec_is_not_ours_refuses(source: Path, old: str, new: str) -> None:
    text = (source / SPEC_FILE).read_text()
    (source / SPEC_FILE).write_text(text.replace(old, new) if old in text else text[:-20])

    with pytest.raises(ContractMismatch):
        read_bundle(source)


def test_locate_when_nothing_was_promoted_gives_the_package(registry: Registry, tmp_path: Path) -> None:
    assert registry.locate()[SMS] == tmp_path / "packaged" / "sms"


def test_locate_when_promoted_or_pinned_gives_the_narrowest(registry: Registry, source: Path, tmp_path: Path) -> None:
    registry.promote(SMS, registry.publish(source))

    assert registry.locate()[SMS] == tmp_path / "registry" / "sms" / "sms-one"
    assert registry.locate({SMS: str(source)})[SMS] == source
    assert registry.locate()[Channel.EMAIL] == tmp_path / "packaged" / "email"


def test_promote_when_done_twice_remembers_the_previous(registry: Registry, source: Path, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", SMS, id="sms-two", bias=-1.0)
    registry.promote(SMS, registry.publish(source))
    registry.promote(SMS, registry.publish(other))

    assert (registry.current(SMS), registry.previous(SMS)) == ("sms-two", "sms-one")
    assert registry.list(SMS) == ("sms-one", "sms-two")
    registry.promote(SMS, "sms-one")
    assert (registry.current(SMS), registry.previous(SMS)) == ("sms-one", "sms-two")


def test_prune_when_more_served_than_are_kept_then_the_oldest_go_and_what_waits_stays(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    ids = [f"sms-{n}" for n in range(1, 6)]
    for id in ids:
        registry.publish(write_bundle(tmp_path / "made" / id, SMS, id=id))
    for id in ("sms-2", "sms-3", "sms-4"):
        registry.promote(SMS, id)

    assert registry.prune(SMS, 2) == ("sms-1", "sms-2")
    assert registry.list(SMS) == ("sms-3", "sms-4", "sms-5")
    assert (registry.current(SMS), registry.previous(SMS)) == ("sms-4", "sms-3")
    assert registry.prune(SMS, 2) == ()


def test_prune_when_an_old_bundle_was_promoted_again_then_it_stays(registry: Registry, tmp_path: Path) -> None:
    for id in ("sms-1", "sms-2", "sms-3", "sms-1"):
        registry.promote(SMS, registry.publish(write_bundle(tmp_path / "made" / id, SMS, id=id)))

    assert registry.prune(SMS, 2) == ("sms-2",)
    assert registry.current(SMS) == "sms-1"


def test_prune_when_an_old_bundle_is_on_trial_then_it_stays(registry: Registry, tmp_path: Path) -> None:
    for id in ("sms-1", "sms-2", "sms-3"):
        registry.promote(SMS, registry.publish(write_bundle(tmp_path / "made" / id, SMS, id=id)))
    registry.try_out(SMS, Trial(id="sms-1", share=0.5, decides=False))

    assert registry.prune(SMS, 1) == ("sms-2",)
    assert registry.list(SMS) == ("sms-1", "sms-3")


def test_prune_when_nothing_was_promoted_then_nothing_goes(registry: Registry, source: Path) -> None:
    registry.publish(source)

    assert registry.prune(SMS, 1) == ()
    assert registry.list(SMS) == ("sms-one",)


def test_promote_when_unknown_raises_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound):
        registry.promote(SMS, "sms-none")


@pytest.mark.parametrize("id", ["../x", "a/b", "", ".hidden", "x\n"])
def test_promote_when_the_id_is_a_path_refuses(registry: Registry, id: str) -> None:
    with pytest.raises(UsageError):
        registry.promote(SMS, id)


def test_promote_when_the_bundle_is_damaged_keeps_the_incumbent(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    registry.promote(SMS, registry.publish(source))
    bad = registry.publish(write_bundle(tmp_path / "other", SMS, id="sms-two", bias=-1.0))
    (tmp_path / "registry" / "sms" / bad / MODEL_FILE).write_bytes(b"truncated")

    with pytest.raises(ChecksumMismatch):
        registry.promote(SMS, bad)
    assert registry.current(SMS) == "sms-one"


def test_promote_when_of_another_channel_refuses(registry: Registry, source: Path, tmp_path: Path) -> None:
    id = registry.publish(source)
    (tmp_path / "registry" / "email").mkdir()
    (tmp_path / "registry" / "sms" / id).rename(tmp_path / "registry" / "email" / id)

    with pytest.raises(ContractMismatch):
        registry.promote(Channel.EMAIL, id)


def test_publish_when_source_is_damaged_leaves_nothing(registry: Registry, source: Path, tmp_path: Path) -> None:
    (source / MODEL_FILE).write_bytes(b"")

    with pytest.raises(ChecksumMismatch):
        registry.publish(source)
    assert not (tmp_path / "registry" / "sms").exists()


def test_publish_when_the_id_is_taken_by_another_refuses(registry: Registry, source: Path, tmp_path: Path) -> None:
    registry.publish(source)

    assert registry.publish(source) == "sms-one"
    with pytest.raises(BundleError, match="another bundle"):
        registry.publish(write_bundle(tmp_path / "other", SMS, id="sms-one", bias=-1.0))


@pytest.mark.parametrize("text", ["", "../../etc\n", "\xff"])
def test_current_when_the_pointer_is_damaged_refuses(registry: Registry, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "registry" / "sms"
    folder.mkdir(parents=True)
    (folder / POINTER_FILE).write_text(text, encoding="latin-1")

    with pytest.raises(BundleError):
        registry.current(SMS)


def test_promote_survives_a_power_cut_from_the_moment_it_returns(
    registry: Registry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then the name, then the folder: a rename that was not flushed is undone by a power cut."""
    steps: list[str] = []
    rename = Path.replace
    pointer = registry.folder(SMS, "sms-one").with_name(POINTER_FILE)

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append(f"flush {'folder' if path.is_dir() else 'file'} {path.name}")

    def replace(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return rename(self, target)

    registry.publish(source)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    registry.promote(SMS, "sms-one")

    assert pointer.read_text(encoding="ascii") == "sms-one\n"
    assert steps == [f"flush file .{POINTER_FILE}.new", f"rename to {POINTER_FILE}", "flush folder sms"]


def test_trial_is_what_was_last_begun_and_nothing_once_ended(source: Path, registry: Registry) -> None:
    registry.publish(source)
    assert registry.trial(SMS) is None
    assert registry.end_trial(SMS) is None

    registry.try_out(SMS, Trial(id="sms-one", share=0.25, decides=True))
    assert registry.trial(SMS) == Trial(id="sms-one", share=0.25, decides=True)
    assert registry.current(SMS) is None

    assert registry.end_trial(SMS) == Trial(id="sms-one", share=0.25, decides=True)
    assert registry.trial(SMS) is None


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_trial_of_no_or_too_much_of_the_traffic_is_refused(source: Path, registry: Registry, share: float) -> None:
    registry.publish(source)

    with pytest.raises(UsageError):
        registry.try_out(SMS, Trial(id="sms-one", share=share))
    with pytest.raises(NotFound):
        registry.try_out(SMS, Trial(id="sms-two", share=0.5))
    assert registry.trial(SMS) is None


@pytest.mark.parametrize(
    "text", ["", "{}", '{"id": "../x", "share": 0.5, "decides": false}', '{"id": 1, "share": "x"}']
)
def test_trial_file_that_says_something_else_is_an_error(source: Path, registry: Registry, text: str) -> None:
    registry.publish(source)
    (registry.folder(SMS, "sms-one").parent / TRIAL_FILE).write_text(text)

    with pytest.raises(BundleError, match=TRIAL_FILE):
        registry.trial(SMS)
