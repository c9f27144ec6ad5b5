"""The contract between trainer and daemon: what a model bundle holds. Names and JSON; no disk access.

A bundle is a folder that never changes after it is published::

    model.onnx     inputs  tokens int32[B, T, G], length int32[B], wide int32[B, W], side float32[B, S]
                   output  logit float32[B]; a graph may also give evidence float32[B, T / pool]: what each
                   step adds, passages and n-grams together, before any bound on their sum
    bundle.json    BundleSpec
    probes.jsonl   one Probe per line: a few messages with the logit they must come out with
    report.json    figures per corpus and slice
    card.md        model card (Mitchell et al. 2019)
    bundle.json.sig  optional: Ed25519 signature of bundle.json, base64

In ``tokens`` the last axis holds the word hash and its character n-gram hashes; 0 means none, and a row of zeros
is padding beyond ``length``. In ``wide`` 0 means none as well. ``length`` is at least 1. Where the graph holds one
table of ``wide_buckets`` numbers it is the linear path's: a feature adds its weight over the root of their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from filterd.core.envelope import Channel
from filterd.errors import ContractMismatch

FORMAT = 1
MODEL_FILE = "model.onnx"
SPEC_FILE = "bundle.json"
PROBES_FILE = "probes.jsonl"
REPORT_FILE = "report.json"
CARD_FILE = "card.md"
SIGNATURE_FILE = "bundle.json.sig"
CHECKED_FILES = (MODEL_FILE, PROBES_FILE, REPORT_FILE, CARD_FILE)
"""Files whose SHA-256 stands in the spec."""
PROBE_TOLERANCE = 1e-3
"""Largest difference of a probe's logit, in log-odds; allows for another CPU's arithmetic."""
POINT_NAMES = ("lenient", "normal", "strict")
"""Operating points every bundle names, from the least to the most ham put at risk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """How text becomes ids. Everything that must not differ between training and serving."""

    normalizer: int
    """Version of ``core.normalize`` and ``core.features``; the daemon serves only its own."""
    seed: int
    max_tokens: int
    """T: tokens read per message."""
    grams: int
    """G: ids per token, the word's own and its n-grams'."""
    token_buckets: int
    """Rows of the embedding; ids are in [1, token_buckets)."""
    max_wide: int
    """W: distinct wide features per message."""
    wide_buckets: int
    """Rows of the linear table; ids are in [1, wide_buckets)."""
    side: tuple[str, ...]
    """Names of the side features, in the order of the input: S of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """p = sigmoid(scale * logit + bias). Source: Platt 1999."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One self-test: a message and the logit it must come out with."""

    raw: str
    """The message, latin-1 so that every octet survives JSON."""
    logit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """``bundle.json``."""

    id: str
    """``email-20261122T031500-1a2b3c4d``: channel, UTC time of training, start of the model file's SHA-256."""
    channel: Channel
    hashing: Hashing
    calibration: Calibration
    points: Mapping[str, float]
    """Operating point -> probability at which it starts to act, descending from lenient to strict."""
    created_at: str
    """ISO 8601, UTC."""
    format: int = FORMAT
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """File name -> SHA-256, hex."""
    corpus: str = ""
    """SHA-256 of the corpus manifest."""
    commit: str = ""
    tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lineage: tuple[tuple[int, int], ...] = ()
    """Numbers of the labels in the feedback ledger that it was trained on: ascending ranges, both ends included."""

    def was_taught(self, label: int) -> bool:
        """Whether it was trained on the label of this number in the ledger."""
        return any(first <= label <= last for first, last in self.lineage)

    def to_json(self) -> str:
        """Text of ``bundle.json``: sorted keys, indented."""
        tree = {
            **{part.name: getattr(self, part.name) for part in fields(self)},
            "hashing": asdict(self.hashing),
            "calibration": asdict(self.calibration),
            "points": dict(self.points),
            "files": dict(self.files),
            "tools": dict(self.tools),
        }
        if not self.lineage:
            # A version that does not know the field refuses it, and has no reason to where there is nothing in it.
            del tree["lineage"]
        return json.dumps(tree, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BundleSpec:
        """Raises ContractMismatch when the text is not a spec that this version can serve."""
        try:
            tree: dict[str, Any] = json.loads(text)
            if tree["format"] != FORMAT:
                raise ContractMismatch(f"bundle format {tree['format']!r}, this version serves {FORMAT}")
            hashing = _hashing(tree["hashing"])
            spec = cls(
                **{
                    **tree,
                    "channel": Channel(tree["channel"]),
                    "hashing": hashing,
                    "calibration": Calibration(**tree["calibration"]),
                    "lineage": tuple((int(first), int(last)) for first, last in tree.get("lineage", ())),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ContractMismatch(f"bundle.json cannot be read: {type(exc).__name__}: {exc}") from None
        spec._check()
        return spec

    def _check(self) -> None:
        missing = [name for name in POINT_NAMES if name not in self.points]
        if missing:
            raise ContractMismatch(f"bundle.json names no operating point {missing[0]!r}")
        if not all(0 <= p <= 1 for p in self.points.values()):
            raise ContractMismatch("an operating point of bundle.json is not a probability")
        h = self.hashing
        if min(h.max_tokens, h.grams, h.token_buckets - 1, h.max_wide, h.wide_buckets - 1) < 1:
            raise ContractMismatch("a shape in bundle.json is not positive")


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """These numbers as ascending ranges, both ends included: 1, 2, 3, 7 are 1-3 and 7-7."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _hashing(tree: dict[str, Any]) -> Hashing:
    return Hashing(**{**tree, "side": tuple(tree["side"])})


def probes_from_jsonl(text: str) -> tuple[Probe, ...]:
    """The probes of ``probes.jsonl``. Raises ContractMismatch."""
    try:
        return tuple(Probe(**json.loads(line)) for line in text.splitlines() if line.strip())
    except (ValueError, TypeError) as exc:
        raise ContractMismatch(f"probes.jsonl cannot be read: {exc}") from None


def probes_to_jsonl(probes: tuple[Probe, ...]) -> str:
    """Text of ``probes.jsonl``."""
    return "".join(json.dumps(asdict(probe), sort_keys=True) + "\n" for probe in probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle as read and verified."""

    spec: BundleSpec
    model: bytes
    """The ONNX graph."""
    probes: tuple[Probe, ...]
