"""The line from labels to a promoted bundle, or to reasons; and that never two of it run."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import filterd
from filterd import config as settings
from filterd.core.bundle import CHECKED_FILES
from filterd.core.envelope import Channel, MessageId
from filterd.core.message import ParseLimits
from filterd.core.token_codec import unpack
from filterd.core.tokens import DEFAULT_HASHING
from filterd.core.verdict import Action, Decision, Feedback, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.feedback_ports import Labels
from filterd.inference.loaded import Scorer
from filterd.inference.registry import read_spec
from filterd.inference.signature import verify
from filterd.model_files import registry_of
from filterd.settings import Config
from filterd.store.lease import Lease
from filterd.store.sql import open_store
from filterd.testing import MemoryStore, an_envelope
from trainer import gate, golden, publish
from trainer import retrain as line
from trainer.build import build_prepared
from trainer.cli import app
from trainer.config import defaults, quick
from trainer.corpora import prepare
from trainer.errors import AlreadyRunning, TrainerError
from trainer.feedback import Divided, FeedbackRules, divide
from trainer.fit import prepared_part
from trainer.measure_candidate import cases_of, measure
from trainer.prepare import Split
from trainer.sources import feedback as ledger
from trainer.sources.catalogue import sources_at, sources_of
from trainer.teach import CORPUS, with_feedback

from .archives import sms_folder
from .test_measure_candidate import an_input, common_words

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and tf2onnx warn of their own insides
]
SMS = Channel.SMS
PACKAGED = Path(filterd.__file__).parent / "models" / "sms"
HASHING = DEFAULT_HASHING[SMS]
RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, enhanced="2.0.0", lines=("Ok",)))


def nothing(*_: Any) -> None:
    """Progress that nobody watches."""


def texts(label: Label, count: int) -> list[bytes]:
    """Texts of two words of a label and of words that no other text has."""
    rng = random.Random(f"{label}")
    pool = ["lunch", "train", "garden", "school"] if label is Label.HAM else ["prize", "claim", "casino", "loan"]
    own = [["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(9)] for _ in range(count)]
    return [" ".join([*rng.choices(pool, k=2), *words]).encode() for words in own]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    environ = {"FILTERD_SERVER__STATE_DIR": str(tmp_path / "state"), "FILTERD_SMTP__NEXT_HOP": "127.0.0.1:1"}
    found = settings.load(None, environ).config
    asyncio.run(_migrated(found))
    return found


async def _migrated(config: Config) -> None:
    async with open_store(config):
        pass


def reported(config: Config, count: int) -> None:
    """So many ham and so many spam in the store, each with a label and what the model read of it."""
    asyncio.run(_reported(config, count))


async def _reported(config: Config, count: int) -> None:
    scorer, _ = Scorer.open({SMS: PACKAGED}, ParseLimits(), keeps_inputs=True)
    async with open_store(config) as store:
        for n, (label, raw) in enumerate((each, raw) for each in Label for raw in texts(each, count)):
            envelope = an_envelope(f"+1555{n:07}", "+15550002", id=f"{(n + 1) << 80:032x}", channel=SMS)
            decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scorer.scan(SMS, raw))
            await store.record(Verdict.of(envelope, len(raw), decision, RELAYED, {"total": 0.1}))
            given = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n)
            await store.add_feedback(
                Feedback(message_id=MessageId(envelope.id), label=label, reporter=f"r{n % 7}", given_at=given)
            )


def order(config: Config, tmp_path: Path, **changes: Any) -> line.Order:
    usual = line.Order(channel=SMS, config=config, data=tmp_path / "none", out=tmp_path / "out", jobs=1, is_fast=True)
    return replace(usual, **changes)


def rebuilt(id: str, **changes: Any) -> Callable[..., Path]:
    """Training that gives the package's model under another id, with other points."""

    def build(_config: Any, _prepared: Any, out: Path, *, taught: Divided, **_: Any) -> Path:
        spec = replace(read_spec(PACKAGED), id=id, lineage=taught.lineage, **changes)
        (out / "run-sms-1").mkdir()
        return publish.write_bundle(out, spec, {name: (PACKAGED / name).read_bytes() for name in CHECKED_FILES})

    return build


def test_retrain_when_the_candidate_is_as_good_then_it_is_published_promoted_and_its_card_says_why(
    config, tmp_path, monkeypatch
):
    reported(config, 10)
    monkeypatch.setattr(line, "build_prepared", rebuilt("sms-29990101T000000-1"))
    said: list[str] = []

    outcome = line.retrain(order(config, tmp_path), say=said.append, progress=nothing)

    registry = registry_of(config)
    assert outcome.is_promoted, outcome.result.reasons
    assert registry.current(SMS) == "sms-29990101T000000-1"
    assert outcome.bundle == registry.folder(SMS, "sms-29990101T000000-1")
    spec = read_spec(outcome.bundle)
    assert spec.lineage == ((1, 16),)
    assert "## Gate" in (outcome.bundle / "card.md").read_text()
    assert "**promoted**" in (outcome.bundle / "card.md").read_text()
    assert json.loads((outcome.bundle / "report.json").read_text())["gate"]["promoted"] is True
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run-sms-1"]
    assert "20 labels stand" in said[0]
    assert "there is no folder of corpora" in said[1]
    assert not [words for words in said if "audit" in words]


def test_retrain_when_the_candidate_holds_more_ham_then_it_is_refused_with_reasons_and_a_card(
    config, tmp_path, monkeypatch
):
    greedy = {"lenient": 0.3, "normal": 0.02, "strict": 0.01}
    monkeypatch.setattr(line, "build_prepared", rebuilt("sms-29990101T000000-2", points=MappingProxyType(greedy)))

    outcome = line.retrain(order(config, tmp_path), say=nothing, progress=nothing)

    assert not outcome.is_promoted
    assert {reason.partition(":")[0] for reason in outcome.result.reasons} >= {"golden set", "modern ham", "ham loss"}
    assert outcome.bundle == tmp_path / "out" / "sms-29990101T000000-2"
    assert "**refused**" in (outcome.bundle / "card.md").read_text()
    assert registry_of(config).current(SMS) is None


def test_retrain_when_promoted_often_then_only_so_many_versions_stay(config, tmp_path, monkeypatch):
    for name in ("_corpora", "_labels", "_test_part", "cases_of"):
        monkeypatch.setattr(line, name, lambda *_, **__: SimpleNamespace(taught=(), newest=(), lineage=()))
    monkeypatch.setattr(line, "measure", lambda *_: (None, None))
    monkeypatch.setattr(gate, "compare", lambda *_: gate.GateResult(candidate="a", incumbent="b", findings=()))
    for n in range(line.KEPT + 2):
        monkeypatch.setattr(line, "build_prepared", rebuilt(f"sms-2999010{n}T000000-1"))
        line.retrain(order(config, tmp_path), say=nothing, progress=nothing)

    kept = registry_of(config).list(SMS)
    assert kept == tuple(f"sms-2999010{n}T000000-1" for n in range(2, line.KEPT + 2))


def test_retrain_when_the_promotion_of_the_candidate_was_taken_back_then_it_is_not_promoted_again(
    config, tmp_path, monkeypatch
):
    id = "sms-29990101T000000-1"
    for name in ("_corpora", "_labels", "_test_part", "cases_of"):
        monkeypatch.setattr(line, name, lambda *_, **__: SimpleNamespace(taught=(), newest=(), lineage=()))
    monkeypatch.setattr(line, "measure", lambda *_: (None, None))
    monkeypatch.setattr(gate, "compare", lambda *_: gate.GateResult(candidate="a", incumbent="b", findings=()))
    monkeypatch.setattr(line, "build_prepared", rebuilt(id))
    line.retrain(order(config, tmp_path), say=nothing, progress=nothing)
    registry_of(config).withdraw(SMS, id)

    with pytest.raises(TrainerError, match="was taken back"):
        line.retrain(order(config, tmp_path), say=nothing, progress=nothing)

    assert registry_of(config).current(SMS) is None


def test_retrain_when_another_process_has_the_lease_then_it_ends_at_once_and_changes_nothing(config, tmp_path):
    environ = f'server.state_dir = "{tmp_path}/state"\nsmtp.next_hop = "127.0.0.1:1"\n'
    (tmp_path / "filterd.toml").write_text(environ)
    code = (
        "import sys; from pathlib import Path; from filterd import config\n"
        "from trainer.sources.feedback import only_one\n"
        "with only_one(config.load(Path(sys.argv[1]), {}).config, 'retrain'): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "filterd.toml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(AlreadyRunning):
            line.retrain(order(config, tmp_path), say=nothing, progress=nothing)
        asked = ["retrain", "--channel", "sms", "--config", str(tmp_path / "filterd.toml"), "--fast"]
        refused = CliRunner().invoke(app, asked)
        holder.communicate("\n", timeout=60)

    assert refused.exit_code == 75
    assert not (tmp_path / "out").exists()


def test_retrain_when_the_lease_is_lost_on_the_way_then_nothing_is_promoted(config, tmp_path, monkeypatch):
    monkeypatch.setattr(line, "build_prepared", rebuilt("sms-29990101T000000-3"))

    def lost(_: object) -> None:
        raise TrainerError("lost")

    monkeypatch.setattr(Lease, "check", lost)

    with pytest.raises(TrainerError, match="lost"):
        line.retrain(order(config, tmp_path), say=nothing, progress=nothing)
    assert registry_of(config).current(SMS) is None


def test_retrain_when_the_settings_pin_a_bundle_then_it_says_that_none_would_serve(config, tmp_path):
    pinned = config.model_copy(update={"models": config.models.model_copy(update={"sms": str(PACKAGED)})})

    with pytest.raises(TrainerError, match=r"models\.sms"):
        line.retrain(order(pinned, tmp_path), say=nothing, progress=nothing)


def test_retrain_when_bundles_must_be_signed_then_a_key_is_asked_for_and_what_is_promoted_is_signed(
    config, tmp_path, monkeypatch
):
    private = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(secret)
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    models = config.models.model_copy(update={"public_key": str(tmp_path / "public.pem")})
    strict = config.model_copy(update={"models": models})
    monkeypatch.setattr(line, "build_prepared", rebuilt("sms-29990101T000000-4"))

    with pytest.raises(TrainerError, match="--signing-key"):
        line.retrain(order(strict, tmp_path), say=nothing, progress=nothing)
    outcome = line.retrain(order(strict, tmp_path, signing_key=tmp_path / "key.pem"), say=nothing, progress=nothing)

    assert outcome.is_promoted, outcome.result.reasons
    verify(outcome.bundle, private.public_key())


def test_retrain_when_run_as_a_command_then_labels_reach_the_bundle_and_its_card(config, tmp_path):
    """The whole line with a small network, on invented corpora: refused, for it is no match for the package's model."""
    reported(config, 10)
    (tmp_path / "filterd.toml").write_text(f'server.state_dir = "{tmp_path}/state"\nsmtp.next_hop = "127.0.0.1:1"\n')
    data = sms_folder(tmp_path / "data") if (tmp_path / "data").mkdir() is None else tmp_path
    options = ["--fast", "--jobs", "1", "--data", str(data), "--config", str(tmp_path / "filterd.toml")]

    done = CliRunner().invoke(app, ["retrain", "--channel", "sms", *options])

    assert done.exit_code == 3, done.output
    assert "| newest labels |" in done.stdout
    (bundle,) = (tmp_path / "state" / "retrain").glob("sms-*")
    assert read_spec(bundle).lineage == ((1, 16),)
    card = (bundle / "card.md").read_text()
    assert "in its ledger 1-16" in card
    assert "UCI SMS" in card
    assert "| corpora |" in card
    assert list((tmp_path / "state" / "retrain").glob("run-sms-*/curves.png"))


def test_with_feedback_when_labels_are_joined_then_each_label_keeps_its_half_and_feedback_no_more_than_its_share():
    prepared = prepare(quick(defaults(SMS)), Path("none"), 1, nothing, HASHING, sources=sources_at(SMS, Path("none")))
    part = prepared_part(quick(defaults(SMS)), prepared, jobs=1)
    labels = [an_input(n, text, Label.SPAM) for n, text in enumerate(texts(Label.SPAM, 3000), 1)]
    taught = Divided(taught=tuple(labels), weights=np.ones(3000), newest=(), lineage=((1, 3000),))

    joined = with_feedback(part, taught)

    assert len(joined.encoded) == len(joined.labels) == len(part.labels) + 3000
    assert joined.weights.sum() == pytest.approx(1.0)
    assert joined.weights[joined.labels > 0.5].sum() == pytest.approx(0.5)
    added = joined.corpora == CORPUS
    assert joined.weights[added].sum() / 0.5 == pytest.approx(FeedbackRules().most_share)
    assert np.array_equal(joined.encoded.tokens_of(len(part.labels)).wide, unpack(labels[0].tokens, HASHING).wide)


def test_prepare_when_messages_are_held_back_then_they_and_their_near_duplicates_are_in_the_test_part():
    config, sources = quick(defaults(SMS)), sources_at(SMS, Path("none"))
    plain = prepare(config, Path("none"), 1, nothing, HASHING, sources=sources)
    training = [plain.corpus.examples[i] for i in plain.corpus.where(Split.TRAIN)]
    held = frozenset(each.id for each in training if each.corpus == "modern")

    kept = prepare(config, Path("none"), 1, nothing, HASHING, sources=sources, held_back=held)

    left = {kept.corpus.examples[i].id for i in kept.corpus.where(Split.TRAIN)}
    assert held
    assert not held & left
    assert kept.sources == sources


def test_sources_when_there_is_no_data_folder_then_only_the_trainer_s_own_are_left(tmp_path):
    assert sources_at(SMS, tmp_path) == sources_of(SMS)
    assert {source.file for source in sources_at(SMS, tmp_path / "none")} == {"", "sms", "email"}


async def test_standing_when_there_are_more_labels_than_a_page_then_all_come_and_revoked_ones_do_not(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(ledger, "_PAGE", 2)
    store = MemoryStore()
    scorer, _ = Scorer.open({SMS: PACKAGED}, ParseLimits(), keeps_inputs=True)
    scan = scorer.scan(SMS, b"claim your prize now")
    for n in range(1, 6):
        envelope = an_envelope("+15550001", "+15550002", id=f"{n << 80:032x}", channel=SMS)
        await store.record(
            Verdict.of(envelope, 1, Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scan), RELAYED, {})
        )
        await store.add_feedback(
            Feedback(message_id=envelope.id, label=Label.SPAM, reporter="a", given_at=datetime(2026, 1, n, tzinfo=UTC))
        )
    await store.revoke(Labels(message=MessageId(f"{2 << 80:032x}")), "root")

    found = await ledger.standing(store, SMS)

    assert [each.id for each in found] == [1, 3, 4, 5]
    assert all(ledger.is_readable(each, HASHING) for each in found)
    assert not ledger.is_readable(replace(found[0], hashing="0123456789ab"), HASHING)
    assert not ledger.is_readable(replace(found[0], tokens=b"\0"), HASHING)


def test_retrain_when_a_dictionary_attack_got_past_every_cap_then_the_gate_refuses_what_was_trained(tmp_path):
    """The same small network twice, once with 400 reports of common words of ham as spam, each at full weight."""
    rng = np.random.default_rng(5)
    words = common_words(150)
    attack = [" ".join(rng.choice(words, 25, replace=False)).encode() for _ in range(400)]
    labels = [an_input(n, text, Label.SPAM) for n, text in enumerate(attack, 1)]
    poison = Divided(taught=tuple(labels), weights=np.ones(400), newest=(), lineage=((1, 400),))
    config = quick(defaults(SMS))
    sets = golden.read(SMS, most=60)
    sources = sources_at(SMS, Path("none"))
    prepared = prepare(config, Path("none"), 1, nothing, HASHING, sources=sources, held_back=sets.held_back)
    made = [
        build_prepared(config, prepared, tmp_path / name, jobs=1, progress=nothing, say=nothing, taught=taught)
        for name, taught in (("clean", None), ("poisoned", poison))
    ]

    result = gate.compare(*measure(made[1], made[0], cases_of(SMS, sets, is_fast=True)))

    assert not result.is_promoted
    assert "poisoning" in {each.rule for each in result.findings if each.is_blocking}
    assert divide(labels, read_spec(made[0])).weights.sum() <= FeedbackRules().domain * 400
