from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from filterd.core.bundle import Bundle, Calibration, Probe
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.errors import BundleError, ContractMismatch, ScanDown, SelfTestFailed, Unscannable
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import read_bundle
from tests.filterd.tiny_bundle import BIAS, HAM_MAIL, SPAM_MAIL, SPAM_SMS, a_spec, graph_bytes, write_bundle

EMAIL = Channel.EMAIL
HASHING = DEFAULT_HASHING[EMAIL]
LIMITS = ParseLimits()


@pytest.fixture(scope="module")
def model() -> bytes:
    return graph_bytes(HASHING)


def _load(model: bytes, probes: tuple[Probe, ...] = ()) -> LoadedModel:
    return LoadedModel(Bundle(spec=a_spec(EMAIL, model), model=model, probes=probes))


def _edited(model: bytes, edit) -> bytes:
    proto = onnx.load_from_string(model)
    edit(proto)
    return bytes(proto.SerializeToString())


def test_score_when_words_are_known_adds_their_weights(model: bytes) -> None:
    loaded = _load(model)
    tokens = Extractor(EMAIL, HASHING, LIMITS)(SPAM_MAIL).tokens

    assert loaded.score(tokens) == pytest.approx(BIAS + 10.0)


def test_score_when_the_graph_gives_no_number_is_unscannable(model: bytes) -> None:
    nan = graph_bytes(HASHING, weights={"lottery": float("nan")})
    tokens = Extractor(EMAIL, HASHING, LIMITS)(SPAM_MAIL).tokens

    with pytest.raises(Unscannable):
        _load(nan).score(tokens)


def test_probability_when_calibrated_uses_scale_and_bias(model: bytes) -> None:
    spec = a_spec(EMAIL, model, calibration=Calibration(scale=2.0, bias=-1.0))
    loaded = LoadedModel(Bundle(spec=spec, model=model, probes=()))

    assert loaded.probability(0.5) == pytest.approx(0.5)
    assert loaded.probability(1e9) == pytest.approx(1.0)
    assert loaded.probability(-1e9) == pytest.approx(0.0)


def _external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def _foreign(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].domain = "com.example"


def _loop(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "Loop"


def _subgraph(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.append(helper.make_attribute("body", proto.graph))


def _renamed_input(proto: onnx.ModelProto) -> None:
    proto.graph.input[1].name = "lengths"


def _extra_input(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _wrong_width(proto: onnx.ModelProto) -> None:
    proto.graph.input[3].type.tensor_type.shape.dim[1].dim_value = 7


def _wrong_type(proto: onnx.ModelProto) -> None:
    proto.graph.input[3].type.tensor_type.elem_type = TensorProto.DOUBLE


def _renamed_output(proto: onnx.ModelProto) -> None:
    proto.graph.node[-1].output[0] = "score"
    proto.graph.output[0].name = "score"


@pytest.mark.parametrize(
    "edit",
    [
        _external,
        _foreign,
        _loop,
        _subgraph,
        _renamed_input,
        _extra_input,
        _wrong_width,
        _wrong_type,
        _renamed_output,
    ],
)
def test_load_when_the_graph_breaks_the_contract_refuses(model: bytes, edit) -> None:
    with pytest.raises(ContractMismatch):
        _load(_edited(model, edit))


@pytest.mark.parametrize("cut", [0, 1, 10, 1_000, -1], ids=str)
def test_load_when_the_file_is_truncated_refuses(model: bytes, cut: int) -> None:
    with pytest.raises(ContractMismatch):
        _load(model[:cut])


@pytest.mark.parametrize("data", [b"\xff" * 100, b"not a model", bytes(1_000), b"\x3a\xff\xff\xff\xff\x0f"])
def test_load_when_the_file_is_garbage_refuses(data: bytes) -> None:
    with pytest.raises(ContractMismatch):
        _load(data)


def test_load_when_normalizer_is_another_refuses(model: bytes) -> None:
    spec = a_spec(EMAIL, model)

    for hashing in (replace(spec.hashing, normalizer=0), replace(spec.hashing, side=("x",))):
        with pytest.raises(ContractMismatch):
            LoadedModel(Bundle(spec=replace(spec, hashing=hashing), model=model, probes=()))


def test_self_test_when_probes_agree_passes(tmp_path: Path) -> None:
    LoadedModel.open(write_bundle(tmp_path, EMAIL), LIMITS)


@pytest.mark.parametrize(
    "probes",
    [(), (Probe(raw="x", logit=99.0),), (Probe(raw="x", logit=float("nan")),), (Probe(raw="\u2603", logit=0.0),)],
    ids=["none", "wrong", "nan", "not-latin-1"],
)
def test_self_test_when_probes_disagree_refuses(model: bytes, probes: tuple[Probe, ...]) -> None:
    with pytest.raises(SelfTestFailed):
        _load(model, probes).self_test(LIMITS)


def test_scan_when_scored_tells_author_words_and_model(tmp_path: Path) -> None:
    scorer, refused = Scorer.open({EMAIL: write_bundle(tmp_path, EMAIL, id="email-x")}, LIMITS)
    spam, ham = scorer.scan(EMAIL, SPAM_MAIL), scorer.scan(EMAIL, HAM_MAIL)

    assert not refused
    assert (spam.author, spam.model) == ("eve@example.com", "email-x")
    assert [e.token for e in spam.evidence] == ["lottery", "winner"]
    assert spam.probability > 0.99
    assert ham.probability < 0.01
    assert ham.evidence[0].token == "agenda"
    assert spam.points["normal"] == 0.8


def test_scorer_when_one_bundle_is_bad_serves_the_other(tmp_path: Path) -> None:
    folders = {EMAIL: write_bundle(tmp_path / "email", EMAIL), Channel.SMS: tmp_path / "none"}
    scorer, refused = Scorer.open(folders, LIMITS)

    assert isinstance(refused[Channel.SMS], BundleError)
    assert scorer.scan(EMAIL, SPAM_MAIL).probability > 0.9
    with pytest.raises(ScanDown):
        scorer.scan(Channel.SMS, SPAM_SMS)


def test_scorer_when_a_bundle_is_of_another_channel_refuses_it(tmp_path: Path) -> None:
    scorer, refused = Scorer.open({Channel.SMS: write_bundle(tmp_path, EMAIL)}, LIMITS)

    assert Channel.SMS in refused
    assert not scorer.models


def test_weights_when_the_graph_has_the_table_are_read_from_it(model: bytes) -> None:
    weights = _load(model).weights

    assert weights is not None
    assert weights.shape == (HASHING.wide_buckets,)
    assert np.count_nonzero(weights) == 3


def test_read_bundle_round_trip_gives_equal_logits(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, EMAIL)
    loaded = LoadedModel(read_bundle(folder))

    for probe in read_bundle(folder).probes:
        assert loaded.score(Extractor(EMAIL, HASHING, LIMITS)(probe.raw.encode("latin-1")).tokens) == pytest.approx(
            probe.logit
        )


def _with_evidence(proto: onnx.ModelProto) -> None:
    """Every two tokens add one to the logit's evidence."""
    for name, values in (("starts", [0, 0]), ("ends", [2**31, 2**31]), ("axes2", [1, 2]), ("steps", [2, 1_000])):
        proto.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [2], values))
    proto.graph.node.append(helper.make_node("Slice", ["tokens", "starts", "ends", "axes2", "steps"], ["every"]))
    proto.graph.node.append(helper.make_node("Sign", ["every"], ["signs"]))
    proto.graph.node.append(helper.make_node("Cast", ["signs"], ["floats"], to=TensorProto.FLOAT))
    proto.graph.initializer.append(helper.make_tensor("last", TensorProto.INT64, [1], [2]))
    proto.graph.node.append(helper.make_node("Squeeze", ["floats", "last"], ["evidence"]))
    proto.graph.output.append(helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["b", "s"]))


def test_read_when_the_graph_gives_evidence_then_words_carry_it_beside_the_linear_path(model: bytes) -> None:
    encoded = Extractor(EMAIL, HASHING, LIMITS)(SPAM_MAIL).encoded
    loaded = _load(_edited(model, _with_evidence))
    linear = 6.0 / np.sqrt(np.count_nonzero(encoded.tokens.wide))

    logit, evidence = loaded.read(encoded)
    found = {each.token: each.weight for each in evidence}

    assert logit == pytest.approx(loaded.score(encoded.tokens))
    assert found["lottery"] == pytest.approx(linear + 0.5, abs=1e-3)
    assert found["hello"] == pytest.approx(0.5, abs=1e-3)


def test_scan_when_a_trusted_server_found_something_has_signals_and_the_same_probability(tmp_path: Path) -> None:
    """The policy is told, the model is not."""
    folders = {EMAIL: write_bundle(tmp_path, EMAIL)}
    raw = b"Authentication-Results: mx.example.net; dmarc=fail; spf=pass\r\n" + SPAM_MAIL
    trusting, _ = Scorer.open(folders, LIMITS, trusted_authserv_ids=frozenset({"mx.example.net"}), keeps_inputs=True)
    plain, _ = Scorer.open(folders, LIMITS, keeps_inputs=True)

    told, untold = trusting.scan(EMAIL, raw), plain.scan(EMAIL, raw)

    assert set(told.signals) - set(untold.signals) == {"dmarc_fail", "spf_pass"}
    assert (told.logit, told.tokens) == (untold.logit, untold.tokens)
