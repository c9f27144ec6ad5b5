"""Line two as one function: labels and corpora -> candidate -> gate -> published and promoted, or refused with reasons.

Run by hand, by a timer or by a cluster's scheduler: a lease on the store keeps two from running at once. A model card
comes of it either way. Running daemons take what is promoted by themselves.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filterd.core.bundle import CARD_FILE, CHECKED_FILES, REPORT_FILE
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING
from filterd.inference.loaded import LoadedModel
from filterd.inference.registry import Registry, read_spec
from filterd.inference.signature import sign
from filterd.model_files import registry_of
from filterd.settings import Config
from trainer import feedback, gate, golden, publish
from trainer.build import build_prepared
from trainer.config import SplitConfig, defaults, quick
from trainer.corpora import Prepared, Say, prepare
from trainer.errors import TrainerError
from trainer.example import Example
from trainer.measure_candidate import FAST_MOST, cases_of, measure
from trainer.prepare import Split, capped
from trainer.sources import feedback as ledger
from trainer.sources.catalogue import sources_at
from trainer.train import Progress

TASK = "retrain"
KEPT = 5
"""Versions of a channel that stay: the one in service and those to go back to; and as many that were refused."""
_CHECK_SECONDS = 30.0
_UNJUDGED = ".candidate-"
_CORPUS_SAMPLE = 100
"""Test messages per corpus and label that the gate looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to train, from what, and where it goes."""

    channel: Channel
    config: Config
    """The gateway's: its store, its registry."""
    data: Path
    """Folder of the corpora; where there is none, the messages that come with the trainer have to do."""
    out: Path
    """Folder that receives curves, and bundles that were refused."""
    golden: Path | None = None
    """Folder of the operator's golden set."""
    signing_key: Path | None = None
    """PEM file; needed where the gateway's settings name its other half."""
    jobs: int = 2
    is_fast: bool = False
    """A small network and samples, in seconds; its result means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended."""

    bundle: Path
    """The folder of the candidate, with its card: in the registry, or where refused ones are kept."""
    result: gate.GateResult

    @property
    def is_promoted(self) -> bool:
        """It is in service; else ``result.reasons`` says why not."""
        return self.result.is_promoted


def retrain(order: Order, *, say: Say, progress: Progress) -> Outcome:
    """The line. Raises AlreadyRunning, TrainerError, BundleError and StoreUnavailable; then nothing is promoted."""
    channel, registry = order.channel, registry_of(order.config)
    ledger.share(order.config, say)
    incumbent = _incumbent(order, registry)
    with ledger.only_one(order.config, TASK) as lease:
        sets = golden.read(channel, order.golden, FAST_MOST if order.is_fast else None)
        divided = _labels(order, incumbent, sets, say)
        prepared = _corpora(order, sets, say)
        with _workshop(order.out) as folder:
            candidate = _trained(order, prepared, divided, folder, say, _watched(progress, lease.check))
            cases = cases_of(channel, sets, divided.newest, _test_part(prepared), is_fast=order.is_fast)
            result = gate.compare(*measure(candidate, incumbent, cases, say))
            judged = with_verdict(candidate, result, order.out)
            keep_runs(folder, order.out, channel)
        lease.check()
        if not result.is_promoted:
            forget(order.out, f"{channel}-*", KEPT)
            return Outcome(bundle=judged, result=result)
        if order.signing_key is not None:
            sign(judged, order.signing_key)
        if registry.is_withdrawn(channel, judged.name):
            raise TrainerError(
                f"the promotion of {judged.name} was taken back; filterd model promote puts it into service"
            )
        id = registry.publish(judged)
        registry.promote(channel, id)
        ledger.share(order.config, say)
        ledger.note(order.config, "promoted", id, say)
        registry.prune(channel, KEPT)
        shutil.rmtree(judged)
        return Outcome(bundle=registry.folder(channel, id), result=result)


def _incumbent(order: Order, registry: Registry) -> Path:
    """The bundle in service. Raises TrainerError where no promotion could replace it, by the settings."""
    pinned = {Channel.EMAIL: order.config.models.email, Channel.SMS: order.config.models.sms}[order.channel]
    if pinned:
        raise TrainerError(
            f"models.{order.channel} names a bundle, so that none that is promoted would serve; remove that setting"
        )
    if order.config.models.public_key and order.signing_key is None:
        raise TrainerError("models.public_key asks for signed bundles; give the other half with --signing-key")
    return registry.locate()[order.channel]


def _labels(order: Order, incumbent: Path, sets: golden.Golden, say: Say) -> feedback.Divided:
    hashing = DEFAULT_HASHING[order.channel]
    standing = ledger.read(order.config, order.channel)
    readable = [each for each in standing if ledger.is_readable(each, hashing)]
    frozen = golden.fingerprints((*sets.golden, *sets.tripwire), hashing)
    divided = feedback.divide(readable, read_spec(incumbent), frozen)
    say(
        f"{len(standing)} labels stand, {len(standing) - len(readable)} of them on messages that another version read; "
        f"{len(divided.taught)} messages are taught, {len(divided.newest)} are kept aside to judge by"
    )
    return divided


def _corpora(order: Order, sets: golden.Golden, say: Say) -> Prepared:
    config = defaults(order.channel)
    sources = sources_at(order.channel, order.data)
    if not order.data.is_dir():
        say("there is no folder of corpora: only the messages that come with the trainer, and people's labels, teach")
    return prepare(
        quick(config) if order.is_fast else config,
        order.data,
        order.jobs,
        say,
        DEFAULT_HASHING[order.channel],
        sources=sources,
        held_back=sets.held_back,
    )


def _trained(
    order: Order, prepared: Prepared, divided: feedback.Divided, out: Path, say: Say, progress: Progress
) -> Path:
    config = defaults(order.channel)
    return build_prepared(
        quick(config) if order.is_fast else config,
        prepared,
        out,
        jobs=order.jobs,
        progress=progress,
        say=say,
        taught=divided,
    )


def _test_part(prepared: Prepared) -> Sequence[Example]:
    """Some of the corpora's test messages; the golden set has those of ``modern``."""
    test = (prepared.corpus.examples[i] for i in prepared.corpus.where(Split.TEST))
    return capped((each for each in test if each.corpus != golden.CORPUS), SplitConfig(), _CORPUS_SAMPLE)


def _watched(progress: Progress, check: Callable[[], None]) -> Progress:
    """``progress``, and now and then a look at whether the lease is still ours: training takes long."""
    due = time.monotonic() + _CHECK_SECONDS

    def told(done: int, total: int, words: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            check()
            due = time.monotonic() + _CHECK_SECONDS
        progress(done, total, words)

    return told


def with_verdict(candidate: Path, result: gate.GateResult, out: Path) -> Path:
    """The bundle again in ``out``, what the gate said in its card and report. Raises BundleError and OSError."""
    files = {name: (candidate / name).read_bytes() for name in CHECKED_FILES}
    report = json.loads(files[REPORT_FILE]) | {"gate": gate.as_json(result)}
    files[REPORT_FILE] = (json.dumps(report, indent=1, sort_keys=True) + "\n").encode()
    files[CARD_FILE] += "\n".join(["", "## Gate", "", *result.lines(), ""]).encode()
    return publish.write_bundle(
        out, read_spec(candidate), files, verify=lambda draft: LoadedModel.open(draft, ParseLimits())
    )


def forget(folder: Path, pattern: str, kept: int) -> None:
    """Delete all but the last ``kept`` folders of these names; their names begin with what and when."""
    found = sorted(folder.glob(pattern))
    for old in found[: max(0, len(found) - kept)]:
        shutil.rmtree(old, ignore_errors=True)


def keep_runs(workshop: Path, out: Path, channel: Channel) -> None:
    """Learning curves and manifest of this run, and of a few before it."""
    for run in workshop.glob("run-*"):
        run.replace(out / run.name)
    forget(out, f"run-{channel}-*", KEPT)


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A folder for what is not judged yet; what a run that was killed left there goes first."""
    out.mkdir(parents=True, exist_ok=True)
    forget(out, f"{_UNJUDGED}*", 0)
    with tempfile.TemporaryDirectory(prefix=_UNJUDGED, dir=out) as folder:
        yield Path(folder)
