"""Track F: what a message costs on one core, what a process holds, and how soon it is ready.

Speed is told in CPU time of the one thread that scores; it is the whole way from bytes to a probability, through the
daemon's own code, one message at a time. The cache of words is warm, as it is after a minute of traffic, and the
messages measured are others than those that warmed it, in random order. CPU time leaves out waiting for a core but not
what neighbours cost, whose work empties caches and slows the core: the best hundred in a row tells of a quiet machine,
the mean of this one.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import filterd
from filterd.core.bundle import MODEL_FILE
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.online import OnlineWeights, views_of
from filterd.core.tokens import Extractor
from filterd.errors import Unscannable
from filterd.inference.loaded import LoadedModel, Scorer
from trainer.errors import TrainerError
from trainer.example import Example, Label
from trainer.measurement import Measurement, Table
from trainer.tracks.context import Context
from trainer.tracks.scratch import read

_FILES = {Channel.EMAIL: "email-spamassassin.tar.xz", Channel.SMS: "sms-uci.tar.xz"}
_NAMES = {Channel.EMAIL: "SpamAssassin mails", Channel.SMS: "UCI SMS"}
_MEASURED, _FAST_MEASURED = 1_000, 60
_IN_A_ROW = 100
_STARTS = 3
_TIMEOUT_SECONDS = 300
_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a fresh process takes."""

    rss_bytes: int
    cpu_seconds: float
    wall_seconds: float


def measure(context: Context) -> Measurement:
    """Speed, memory, size and start of the bundle. Raises CorpusError, BundleError and TrainerError."""
    model = context.model()
    examples = read(context, (_FILES[context.channel],))
    count = min(len(examples), 2 * (_FAST_MEASURED if context.is_fast else _MEASURED))
    some = random.Random(context.seeds[0]).sample(examples, count)  # noqa: S311  (no secret)
    chosen = [example.raw for example in some]
    scorer = Scorer({context.channel: model}, ParseLimits())
    _spent(scorer, context.channel, chosen[::2])
    spent = _spent(scorer, context.channel, chosen[1::2])
    context.say(f"{len(spent)} messages measured")
    steps = _learning(model, some[1::2])
    own = _start(context, chosen[:1], [context.channel])
    both = _start(context, chosen[:1], list(Channel))
    return _measurement(context, spent, steps, own, both)


def _spent(scorer: Scorer, channel: Channel, messages: Sequence[bytes]) -> list[float]:
    """CPU seconds of each message that can be read, bytes to probability."""
    out = []
    for raw in messages:
        begun = time.thread_time()
        try:
            scorer.scan(channel, raw)
        except Unscannable:
            continue
        out.append(time.thread_time() - begun)
    return out


def _best(spent: Sequence[float]) -> float:
    """Messages per second where that was highest."""
    size = min(_IN_A_ROW, len(spent))
    return max(size / sum(spent[at : at + size]) for at in range(0, len(spent) - size + 1, size))


def _learning(model: LoadedModel, examples: Sequence[Example]) -> list[float]:
    """CPU seconds of each step that moved the weights of an online learner over the model, the message once parsed."""
    extractor = Extractor(model.spec.channel, model.spec.hashing, ParseLimits())
    learner = OnlineWeights()
    out = []
    for example in examples:
        try:
            extracted = extractor(example.raw)
            logit = model.score(extracted.tokens)
        except Unscannable:
            continue
        begun = time.thread_time()
        moved = learner.learn(views_of(example.raw, extracted), is_spam=example.label is Label.SPAM, offset=logit)
        if moved:
            out.append(time.thread_time() - begun)
    return out


def _start(context: Context, messages: Sequence[bytes], channels: Sequence[Channel]) -> Held:
    """The median of some fresh processes that open bundles and score one message each. Raises TrainerError."""
    with tempfile.TemporaryDirectory() as folder:
        message = Path(folder) / "message"
        message.write_bytes(messages[0])
        arguments = [str(part) for channel in channels for part in (channel, _folder(context, channel), message)]
        runs = [_once(arguments) for _ in range(1 if context.is_fast else _STARTS)]
    return sorted(runs, key=lambda run: run.cpu_seconds)[len(runs) // 2]


def _folder(context: Context, channel: Channel) -> Path:
    """The bundle measured, and beside it the one that the package holds for the other channel."""
    if channel is context.channel and context.bundle is not None:
        return context.bundle.resolve()
    return Path(filterd.__file__).parent / "models" / channel


def _once(arguments: Sequence[str]) -> Held:
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603  (our own interpreter and module)
        [sys.executable, "-m", "trainer.tracks.cost_process", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise TrainerError(f"a process that opens {arguments[1]} failed: {done.stderr.strip()[-300:]}")
    return Held(**json.loads(done.stdout), wall_seconds=time.monotonic() - begun)


def _measurement(
    context: Context, spent: Sequence[float], steps: Sequence[float], own: Held, both: Held
) -> Measurement:
    rate, best = len(spent) / sum(spent), _best(spent)
    middle, high = (float(1000 * np.quantile(spent, q)) for q in (0.5, 0.99))
    step = float(1000 * np.mean(steps)) if steps else None
    size = (_folder(context, context.channel) / MODEL_FILE).stat().st_size
    rows = (
        (f"{_NAMES[context.channel]} per second on one core", f"{rate:,.0f}"),
        (f"the same in the best {_IN_A_ROW} in a row", f"{best:,.0f}"),
        ("ms a message, median", f"{middle:.2f}"),
        ("ms a message, 99th percentile", f"{high:.2f}"),
        ("ms a report that is learned from, mean", "-" if step is None else f"{step:.2f}"),
        ("MB of the model's file", f"{size / _MB:.1f}"),
        ("MB resident, this model", f"{own.rss_bytes / _MB:.0f}"),
        ("MB resident, the models of both channels", f"{both.rss_bytes / _MB:.0f}"),
        ("CPU s from start to the first probability, this model", f"{own.cpu_seconds:.2f}"),
        ("the same for both", f"{both.cpu_seconds:.2f}"),
    )
    target = (
        f"{rate:,.0f} {context.channel} a second ({best:,.0f} at best), p99 {high:.1f} ms, model {size / _MB:.1f} MB, "
        f"RSS {own.rss_bytes / _MB:.0f} MB ({both.rss_bytes / _MB:.0f} with both)"
    )
    return Measurement(
        id=f"cost-{context.channel}",
        title=f"Cost, {context.channel}",
        command=context.command("cost"),
        text=(_TEXT.format(count=len(spent)),),
        tables=(Table(columns=("figure", "value"), rows=rows),),
        figures={
            "per_second": rate,
            "per_second_best": best,
            "p50_ms": middle,
            "p99_ms": high,
            "learning_step_ms": step,
            "model_bytes": size,
            "rss_bytes": own.rss_bytes,
            "rss_both_bytes": both.rss_bytes,
            "cold_start_cpu_seconds": own.cpu_seconds,
            "cold_start_wall_seconds": own.wall_seconds,
            "targets": {"19": target},
        },
    )


_TEXT = (
    "Bytes to probability through the daemon's scorer, explanation and fingerprint included, one message at a time on "
    "one thread, in CPU time; {count} messages other than those that warmed the cache of words."
)
