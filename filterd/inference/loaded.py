"""A bundle ready to score: ONNX Runtime on one thread, and the one way from a message to a Scan.

The only place that imports onnxruntime. A bundle is refused unless its graph reads and gives exactly what the
contract says, and its probes come out as recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from filterd.core.auth_results import auth_signals
from filterd.core.bundle import PROBE_TOLERANCE, Bundle, BundleSpec
from filterd.core.calibration import probability
from filterd.core.dkim import signatures
from filterd.core.domains import Domains
from filterd.core.envelope import Channel, Envelope
from filterd.core.explain import explain
from filterd.core.fingerprint import fingerprint
from filterd.core.message import ParseLimits
from filterd.core.normalize import NORMALIZER_VERSION
from filterd.core.script import script_of
from filterd.core.token_codec import hashing_key, pack
from filterd.core.tokens import DEFAULT_HASHING, Encoded, Extracted, Extractor, Tokens
from filterd.core.verdict import Evidence, Scan
from filterd.errors import BundleError, ContractMismatch, ScanDown, SelfTestFailed, Unscannable
from filterd.inference.graph import read_graph
from filterd.inference.registry import read_bundle

OUTPUT = "logit"
EVIDENCE = "evidence"
_FATAL_ONLY = 4
_TIME_STEP = 8
"""Sequences are fed in multiples of this: shorter than the longest, but never too short for a convolution."""
_TYPES = {"tokens": "tensor(int32)", "length": "tensor(int32)", "wide": "tensor(int32)", "side": "tensor(float)"}


class LoadedModel:
    """One bundle in memory. Not for use by several threads at once."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises BundleError when the bundle cannot be served. The probes are not run: see ``self_test``."""
        self.spec: BundleSpec = bundle.spec
        self._probes = bundle.probes
        self.hashing = hashing_key(bundle.spec.hashing)
        _check_spec(bundle.spec)
        graph = read_graph(bundle.model)
        self.weights = graph.column(bundle.spec.hashing.wide_buckets)
        """The linear path's table, float32[wide_buckets], where the graph has exactly one such."""
        self._session = _open_session(bundle.model)
        self._is_fixed = self._check_inputs()
        self._outputs = self._check_outputs()

    @classmethod
    def open(cls, folder: Path, limits: ParseLimits, domains: Domains | None = None) -> LoadedModel:
        """The bundle in ``folder``, verified and self-tested. Raises BundleError."""
        model = cls(read_bundle(folder))
        model.self_test(limits, domains)
        return model

    def score(self, tokens: Tokens) -> float:
        """The logit of one message. Raises Unscannable if it is not a number."""
        return self._run(tokens, (OUTPUT,))[0]

    def read(self, encoded: Encoded) -> tuple[float, tuple[Evidence, ...]]:
        """The logit of one message and the words that moved it most. Raises Unscannable if it is not a number."""
        tokens = encoded.tokens
        logit, found = self._run(tokens, self._outputs)
        passages = np.zeros(tokens.length, np.float32)
        if found is not None:
            pool = -(-self._steps(tokens) // found.shape[1])
            passages = np.repeat(found[0] / pool, pool)[: tokens.length]
        linear = np.zeros(tokens.length, np.float32)
        if self.weights is not None:
            linear = self.weights[encoded.word_ids] / math.sqrt(max(1, int(np.count_nonzero(tokens.wide))))
        return logit, explain(encoded.words, linear, passages)

    def _steps(self, tokens: Tokens) -> int:
        """How many of the rows are fed."""
        most = self.spec.hashing.max_tokens
        return most if self._is_fixed else min(most, -(-max(tokens.length, 1) // _TIME_STEP) * _TIME_STEP)

    def _run(self, tokens: Tokens, outputs: Sequence[str]) -> tuple[float, npt.NDArray[np.float32] | None]:
        """The logit, and the second output where it is asked for."""
        feed = {
            "tokens": tokens.tokens[None, : self._steps(tokens)],
            "length": np.array([tokens.length], dtype=np.int32),
            "wide": tokens.wide[None, :],
            "side": tokens.side[None, :],
        }
        found = self._session.run(outputs, feed)
        logit = float(np.asarray(found[0]).reshape(-1)[0])
        if not math.isfinite(logit):
            raise Unscannable("the model gave no number")
        return logit, found[1] if len(found) > 1 else None

    def probability(self, logit: float) -> float:
        """Calibrated P(spam), [0, 1]."""
        return probability(logit, self.spec.calibration)

    def self_test(self, limits: ParseLimits, domains: Domains | None = None) -> None:
        """Raises SelfTestFailed unless every probe comes out as recorded."""
        if not self._probes:
            raise SelfTestFailed(f"bundle {self.spec.id} has no probes")
        extractor = Extractor(self.spec.channel, self.spec.hashing, limits, domains)
        for number, probe in enumerate(self._probes, 1):
            try:
                logit = self.score(extractor(probe.raw.encode("latin-1")).tokens)
            except (Unscannable, UnicodeEncodeError) as exc:
                raise SelfTestFailed(f"probe {number} of bundle {self.spec.id} cannot be scored: {exc}") from None
            if not abs(logit - probe.logit) <= PROBE_TOLERANCE:
                raise SelfTestFailed(
                    f"probe {number} of bundle {self.spec.id} gives {logit:.6f}, recorded is {probe.logit:.6f}"
                )

    def _check_inputs(self) -> bool:
        """Whether the graph takes sequences of full length only. Raises ContractMismatch."""
        hashing = self.spec.hashing
        widths = {"length": None, "wide": hashing.max_wide, "side": len(hashing.side)}
        inputs = {node.name: node for node in self._session.get_inputs()}
        if set(inputs) != set(_TYPES):
            raise ContractMismatch(f"the model's inputs are {sorted(inputs)}, not {sorted(_TYPES)}")
        for name, node in inputs.items():
            if node.type != _TYPES[name]:
                raise ContractMismatch(f"the model's input {name} is {node.type}, not {_TYPES[name]}")
            width = hashing.grams if name == "tokens" else widths[name]
            if width is not None and isinstance(node.shape[-1], int) and node.shape[-1] != width:
                raise ContractMismatch(f"the model's input {name} is {node.shape[-1]} wide, bundle.json says {width}")
        time = inputs["tokens"].shape[1]
        if isinstance(time, int) and time != hashing.max_tokens:
            raise ContractMismatch(f"the model reads {time} tokens, bundle.json says {hashing.max_tokens}")
        return isinstance(time, int)

    def _check_outputs(self) -> tuple[str, ...]:
        """The outputs to ask for, the logit first. Raises ContractMismatch."""
        outputs = {node.name for node in self._session.get_outputs()}
        if OUTPUT not in outputs or not outputs <= {OUTPUT, EVIDENCE}:
            raise ContractMismatch(
                f"the model's outputs are {sorted(outputs)}, not {OUTPUT!r} and at most {EVIDENCE!r}"
            )
        return (OUTPUT, EVIDENCE) if EVIDENCE in outputs else (OUTPUT,)


def _check_spec(spec: BundleSpec) -> None:
    if spec.hashing.normalizer != NORMALIZER_VERSION:
        raise ContractMismatch(
            f"bundle {spec.id} is for normalizer {spec.hashing.normalizer}, this version has {NORMALIZER_VERSION}"
        )
    if spec.hashing.side != DEFAULT_HASHING[spec.channel].side:
        raise ContractMismatch(f"bundle {spec.id} names other side features than this version has")


def _open_session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        # ONNX Runtime raises classes of its own that share no base but Exception.
        raise ContractMismatch(f"ONNX Runtime refuses the model: {type(exc).__name__}") from exc


class Scorer:
    """Messages of every channel to Scans: what the daemon, ``filterd check`` and the trainer's evaluation share."""

    def __init__(
        self,
        models: Mapping[Channel, LoadedModel],
        limits: ParseLimits,
        domains: Domains | None = None,
        *,
        keeps_inputs: bool = False,
        is_explaining: bool = True,
        trusted_authserv_ids: frozenset[str] = frozenset(),
        max_signatures: int = 0,
    ) -> None:
        """With ``keeps_inputs`` every Scan has what the model read; with ``is_explaining``, evidence.

        Evidence takes a tenth of the time of scoring. The model is not told what trusted servers found out. So many
        DKIM signatures are made ready to be verified, unless such a server said what they are worth.
        """
        self._domains = domains = domains or Domains()
        self._trusted = trusted_authserv_ids
        self._max_signatures = max_signatures
        self._keeps_inputs = keeps_inputs
        self._is_explaining = is_explaining
        self.models = MappingProxyType(dict(models))
        self._extractors = {
            channel: Extractor(channel, model.spec.hashing, limits, domains) for channel, model in models.items()
        }

    @classmethod
    def open(
        cls,
        folders: Mapping[Channel, Path],
        limits: ParseLimits,
        *,
        keeps_inputs: bool = False,
        is_explaining: bool = True,
        trusted_authserv_ids: frozenset[str] = frozenset(),
        max_signatures: int = 0,
        domains: Domains | None = None,
    ) -> tuple[Scorer, Mapping[Channel, BundleError]]:
        """The bundles in ``folders``, and why those that cannot serve do not."""
        models, refused, domains = {}, {}, domains or Domains()
        for channel, folder in folders.items():
            try:
                models[channel] = LoadedModel.open(folder, limits, domains)
                if models[channel].spec.channel is not channel:
                    raise ContractMismatch(f"{folder} is not a bundle of channel {channel.value}")
            except BundleError as exc:
                models.pop(channel, None)
                refused[channel] = exc
        scorer = cls(
            models,
            limits,
            domains,
            keeps_inputs=keeps_inputs,
            is_explaining=is_explaining,
            trusted_authserv_ids=trusted_authserv_ids,
            max_signatures=max_signatures,
        )
        return scorer, refused

    def scan(self, channel: Channel, raw: bytes, envelope: Envelope | None = None) -> Scan:
        """Everything found in ``raw``. Raises Unscannable, or ScanDown where the channel has no model."""
        model = self.models.get(channel)
        if model is None:
            raise ScanDown(f"no model for {channel.value}")
        found = self._extractors[channel](raw, envelope)
        scan = _scan(model, found, keeps_input=self._keeps_inputs, is_explaining=self._is_explaining)
        if channel is not Channel.EMAIL:
            return scan
        known = auth_signals(raw, self._trusted, scan.author, self._domains)
        if known:
            scan = replace(scan, signals=tuple(sorted((*scan.signals, *known))))
        if not self._max_signatures or any(name.startswith("dkim_") for name in known):
            return scan
        return replace(scan, signatures=signatures(raw, scan.author, self._domains, self._max_signatures))


def _scan(model: LoadedModel, found: Extracted, *, keeps_input: bool, is_explaining: bool) -> Scan:
    encoded, message = found.encoded, found.message
    logit, evidence = model.read(encoded) if is_explaining else (model.score(encoded.tokens), ())
    return Scan(
        probability=model.probability(logit),
        logit=logit,
        model=model.spec.id,
        points=model.spec.points,
        author=message.author if message else "",
        evidence=evidence,
        signals=message.signals if message else (),
        fingerprint=fingerprint(encoded.word_hashes),
        calibration=model.spec.calibration,
        tokens=pack(encoded.tokens, model.spec.hashing) if keeps_input else b"",
        hashing=model.hashing if keeps_input else "",
        script=script_of(model.spec.hashing.side, encoded.tokens.side.tolist()),
    )
