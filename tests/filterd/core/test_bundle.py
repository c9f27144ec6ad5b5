"""The contract between trainer and daemon: what it says of the labels a model was taught, and that it need not."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.bundle import BundleSpec, Calibration, ranges
from filterd.core.envelope import Channel
from filterd.core.tokens import DEFAULT_HASHING
from filterd.errors import ContractMismatch

SPEC = BundleSpec(
    id="sms-1",
    channel=Channel.SMS,
    hashing=DEFAULT_HASHING[Channel.SMS],
    calibration=Calibration(),
    points=MappingProxyType({"lenient": 0.9, "normal": 0.8, "strict": 0.7}),
    created_at="2026-01-01T00:00:00+00:00",
)


@given(st.sets(st.integers(1, 60)), st.integers(1, 60))
def test_lineage_when_labels_are_counted_then_it_names_exactly_them_through_json(labels, other):
    spec = BundleSpec.from_json(replace(SPEC, lineage=ranges(labels)).to_json())

    assert spec.was_taught(other) is (other in labels)
    assert spec.lineage == ranges(labels)


def test_lineage_when_neighbours_are_taught_then_they_are_one_range():
    assert ranges([7, 1, 3, 2, 2]) == ((1, 3), (7, 7))


def test_spec_when_nothing_was_taught_then_it_is_what_older_versions_read():
    assert "lineage" not in json.loads(SPEC.to_json())
    assert BundleSpec.from_json(SPEC.to_json()).lineage == ()


@pytest.mark.parametrize("lineage", ["1-3", [1], [[1]], [[1, "x"]], 5])
def test_spec_when_the_lineage_is_no_list_of_ranges_then_it_is_refused(lineage):
    tree = {**json.loads(SPEC.to_json()), "lineage": lineage}

    with pytest.raises(ContractMismatch):
        BundleSpec.from_json(json.dumps(tree))
