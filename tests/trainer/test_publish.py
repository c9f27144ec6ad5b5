"""A bundle is complete or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from filterd.core.bundle import SPEC_FILE, BundleSpec, Calibration
from filterd.core.envelope import Channel
from filterd.core.tokens import DEFAULT_HASHING
from trainer.publish import bundle_id, contents, write_bundle

_SPEC = BundleSpec(
    id="sms-20260101T000000-aaaaaaaa",
    channel=Channel.SMS,
    hashing=DEFAULT_HASHING[Channel.SMS],
    calibration=Calibration(),
    points={"lenient": 0.99, "normal": 0.9, "strict": 0.5},
    created_at="2026-01-01T00:00:00+00:00",
)
_FILES = contents(b"graph", "probes", "{}", "card")


def test_write_bundle_when_all_is_well_then_checksums_are_those_of_the_files(tmp_path):
    folder = write_bundle(tmp_path, _SPEC, _FILES)

    spec = BundleSpec.from_json((folder / SPEC_FILE).read_text())

    assert folder.name == _SPEC.id
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _FILES} == dict(spec.files)
    assert {path.name for path in tmp_path.iterdir()} == {_SPEC.id}


def test_write_bundle_when_the_check_fails_then_nothing_is_left(tmp_path):
    def refuse(_: Path) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        write_bundle(tmp_path, _SPEC, _FILES, verify=refuse)

    assert list(tmp_path.iterdir()) == []


def test_write_bundle_when_the_id_is_taken_then_the_published_bundle_stays(tmp_path):
    folder = write_bundle(tmp_path, _SPEC, _FILES)

    with pytest.raises(OSError, match="not empty"):
        write_bundle(tmp_path, _SPEC, {**_FILES, "model.onnx": b"other"})

    assert (folder / "model.onnx").read_bytes() == b"graph"
    assert [path.name for path in tmp_path.iterdir()] == [_SPEC.id]


def test_write_bundle_when_a_file_is_missing_then_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"card\.md"):
        write_bundle(tmp_path, _SPEC, {k: v for k, v in _FILES.items() if k != "card.md"})


def test_bundle_id_when_made_then_it_names_channel_time_and_graph():
    assert bundle_id("sms", "2026-11-22T03:15:00+00:00", b"graph").startswith("sms-20261122T031500-")
    assert bundle_id("sms", "2026-11-22T03:15:00+00:00", b"a") != bundle_id("sms", "2026-11-22T03:15:00+00:00", b"b")
